"""`make mutate` can break each promise: what it replaces is there once, and so are its tests."""

from io import StringIO
from pathlib import Path

import pytest
from rich.console import Console

from tools.mutate.__main__ import MUTATIONS, ROOT, Mutation, play


@pytest.mark.parametrize("mutation", MUTATIONS, ids=lambda mutation: mutation.promise)
def test_what_a_mutation_replaces_is_there_once(mutation: Mutation) -> None:
    assert (ROOT / mutation.file).read_text("utf-8").count(mutation.old) == 1
    assert mutation.old != mutation.new
    assert all((ROOT / test).exists() for test in mutation.tests.split())


CODE = "ONE = 1\nTWO = 2\nTHREE = 3\n"
TESTS = """
import pytest

from code_under_test import ONE, TWO

def test_one():
    assert ONE == 1

@pytest.mark.slow
def test_two():
    assert TWO == 2
"""
RED = """
import pytest

@pytest.mark.slow
def test_three():
    assert False
"""


ENDLESS = """
from code_under_test import THREE

def test_it_ends():
    while THREE == 9:
        pass
"""


@pytest.fixture
def trees(tmp_path: Path) -> list[Path]:
    trees = [tmp_path / "1", tmp_path / "2"]
    for tree in trees:
        tree.mkdir()
        (tree / "pytest.ini").write_text("[pytest]\npythonpath = .\nmarkers = slow\n")
        (tree / "code_under_test.py").write_text(CODE)
        (tree / "test_it.py").write_text(TESTS)
        (tree / "test_red.py").write_text(RED)
        (tree / "test_endless.py").write_text(ENDLESS)
    return trees


def played(trees: list[Path], *chosen: tuple[str, str]) -> set[str]:
    """Return what is said of mutations of this number, by these tests."""
    mutations = [
        Mutation(f"{old} by {tests}", "code_under_test.py", f"= {old}", "= 9", f"test_{tests}.py")
        for old, tests in chosen
    ]
    caught = play(mutations, trees, Console(file=(said := StringIO()), width=200))
    ends = {line.partition(" s  ")[2].partition(" (")[0] for line in said.getvalue().splitlines()}
    assert caught == sum(end.startswith("caught") for end in ends)
    return ends


@pytest.mark.slow
def test_each_mutation_is_said_as_it_ends_and_slow_tests_come_last(trees: list[Path]) -> None:
    ends = played(trees, ("2", "it"), ("3", "it"), ("3", "red"), ("4", "it"))
    assert ends == {
        "caught: 2 by it",
        "SURVIVED: 3 by it",
        "SLOW TESTS ARE RED ANYWAY: 3 by red",
        "OLD TEXT NOT FOUND ONCE: 4 by it",
    }
    assert {(tree / "code_under_test.py").read_text() for tree in trees} == {CODE}


@pytest.mark.slow
def test_one_whose_tests_never_end_is_caught(trees: list[Path], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("tools.mutate.__main__.SECONDS", 1)
    assert played(trees, ("3", "endless")) == {"caught: 3 by endless"}

"""`make check`'s own checks find what they are there to find."""

import shutil
from pathlib import Path

import pytest

from tools.checks import POLICIES, ROOT, VERSIONS, problems


@pytest.fixture
def repository(tmp_path: Path) -> Path:
    """A copy of the files that are checked."""
    for name in (*POLICIES, *VERSIONS, "pyproject.toml"):
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        shutil.copy(ROOT / name, tmp_path / name)
    return tmp_path


def edit(path: Path, old: str, new: str) -> None:
    text = path.read_text()
    assert old in text
    path.write_text(text.replace(old, new, 1))


def test_the_repository_has_no_problem(repository: Path) -> None:
    assert [*problems(repository)] == []


def test_a_wrong_policy_is_found_with_its_file(repository: Path) -> None:
    edit(repository / "functions/policy.toml", "[tag]", "[tags]")
    (problem,) = problems(repository)
    assert problem.startswith("functions/policy.toml is wrong:")
    assert "tags" in problem


@pytest.mark.parametrize("name", [*VERSIONS, "pyproject.toml"])
def test_a_version_that_is_not_everywhere_is_found(repository: Path, name: str) -> None:
    edit(repository / name, "0.2.0", "0.1.9")
    found = [*problems(repository)]
    assert [problem.partition(":")[0] for problem in found] == ([name] if name in VERSIONS else [*VERSIONS])
    assert all("0.1.9" in problem and "0.2.0" in problem for problem in found)


@pytest.mark.parametrize("name", VERSIONS)
def test_a_version_that_is_nowhere_is_found(repository: Path, name: str) -> None:
    (repository / name).write_text("")
    assert [*problems(repository)] == [f"{name}: its version is not there, that of pyproject.toml 0.2.0"]

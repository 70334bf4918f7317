"""`make check`'s own checks find what they are there to find."""

import shutil
from pathlib import Path

import pytest

from tools.checks import POLICIES, ROOT, problems


@pytest.fixture
def repository(tmp_path: Path) -> Path:
    """A copy of the files that are checked."""
    for name in POLICIES:
        (tmp_path / name).parent.mkdir(exist_ok=True)
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

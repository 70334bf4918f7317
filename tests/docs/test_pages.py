"""The pages: each kind of wrong is made once, and seen."""

from pathlib import Path

import pytest

from tools import docs


def page(folder: Path, text: str) -> Path:
    path = folder / "page.md"
    path.write_text(text, "utf-8")
    return path


@pytest.mark.parametrize("path", docs.pages(), ids=lambda path: str(path.relative_to(docs.ROOT)))
def test_every_page_says_what_is_so(path: Path) -> None:
    assert [*docs.problems(path)] == []


@pytest.mark.parametrize("name", docs.PARTS)
def test_a_generated_part_that_is_old_is_found(tmp_path: Path, name: str) -> None:
    old = page(tmp_path, f"<!-- generated: {name} -->\nold\n<!-- end -->\n")
    (problem,) = docs.problems(old)
    assert "not what code and template say" in problem
    assert [*docs.problems(page(tmp_path, docs.generated(old.read_text("utf-8"))))] == []


@pytest.mark.parametrize(
    "link",
    [pytest.param("no-such-page.md", id="a page that is not there"), pytest.param("#none", id="a heading")],
)
def test_a_dead_link_is_found(tmp_path: Path, link: str) -> None:
    (problem,) = docs.problems(page(tmp_path, f"# Title\n\n[here]({link}) and [there](#title)\n"))
    assert link in problem


@pytest.mark.parametrize("text", ["three letters", "mend the cause", "the alarm rings", "it needs you"])
def test_a_word_of_the_old_vocabulary_is_found(tmp_path: Path, text: str) -> None:
    assert len([*docs.problems(page(tmp_path, text))]) == 1


def test_the_readme_is_of_one_sitting() -> None:
    assert len((docs.ROOT / "README.md").read_text("utf-8").splitlines()) <= 250

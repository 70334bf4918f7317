"""What a reader finds from README in two clicks at most, by following its links."""

import re
from pathlib import Path

import pytest

from tools import docs

ROOT = Path(__file__).parents[2]


def linked(page: Path) -> set[Path]:
    paths = re.findall(r"\]\(([^)#\s]+)", page.read_text("utf-8"))
    found = {(page.parent / path).resolve() for path in paths if "://" not in path}
    return {path for path in found if path.suffix == ".md" and path.is_file()}


def reached(clicks: int) -> set[Path]:
    pages = {ROOT / "README.md"}
    for _ in range(clicks):
        pages |= {target for page in pages for target in linked(page)}
    return pages


@pytest.mark.parametrize(
    ("page", "heading"),
    [
        pytest.param("docs/how-to/fix-a-dead-letter.md", "## RegionProblem", id="how to fix a dead letter"),
        pytest.param(
            "docs/reference/permissions.md", "## Permissions of the commands", id="a command's permission"
        ),
        pytest.param("docs/how-to/fail-over.md", "## During: promote", id="how to fail over"),
        pytest.param("docs/how-to/upgrade-and-uninstall.md", "## Upgrade", id="how to upgrade"),
        pytest.param("docs/reference/cost.md", "# ", id="what it costs"),
    ],
)
def test_a_reader_finds_it_in_two_clicks(page: str, heading: str) -> None:
    assert ROOT / page in reached(2)
    lines = (ROOT / page).read_text("utf-8").splitlines()
    assert any(line.startswith(heading) for line in lines)


def test_no_page_of_the_docs_is_out_of_reach() -> None:
    pages = {page for page in docs.pages() if page.is_relative_to(ROOT / "docs")}
    assert len(pages) > 20
    assert pages - reached(2) == set()

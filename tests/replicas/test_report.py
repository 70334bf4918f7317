"""`replicas report`: the numbers of the page and of the CSV, and files that are whole or not there."""

import csv
import os
from collections.abc import Iterator
from pathlib import Path

import pytest

from local.secrets_manager.model import Outcome
from replicas.commands.report.page import as_csv, percent, write
from tests.support.desk import Desk, at_desk
from tests.support.world import HOME, World, make_world


@pytest.fixture
def desk(tmp_path: Path) -> Iterator[Desk]:
    with at_desk(make_world(tmp_path)) as desk:
        yield desk


def some_secrets(world: World) -> None:
    world.secrets.set_outcome("broken", "us-west-2", Outcome("Failed", "The KMS key is disabled"))
    for name, team in (("a", "shop"), ("b", "search"), ("broken", "search")):
        world.add(name, "us-west-2", team=team)
        world.send(name)
    world.deliver_until_empty()
    world.add("late", "us-west-2 eu-west-1")


def written(desk: Desk, folder: Path, *arguments: str) -> tuple[str, list[dict[str, str]]]:
    """Return the page and the lines of the CSV."""
    html, table = folder / "report.html", folder / "report.csv"
    result = desk.run("report", "--html", str(html), "--csv", str(table), *arguments)
    assert result.exit_code == 0, result.output
    with table.open(encoding="utf-8", newline="") as lines:
        return html.read_text("utf-8"), [*csv.DictReader(lines)]


def test_the_page_has_the_sentence_and_the_coverage(desk: Desk, tmp_path: Path) -> None:
    some_secrets(desk.world)
    page, _ = written(desk, tmp_path, "--by", "team", "--title", "Secrets of <us>")
    assert "2 of 4 selected secrets are InSync in every Region; 1 waiting, 1 needs attention." in page
    assert "<title>Secrets of &lt;us&gt;: 50.0 % in every Region</title>" in page
    for line in (
        '<bdi>eu-west-1</bdi></th><td class="number">0</td><td class="number">1</td><td>0.0 %',
        '<bdi>us-west-2</bdi></th><td class="number">2</td><td class="number">4</td><td>50.0 %',
        '<bdi>search</bdi></th><td class="number">1</td><td class="number">2</td><td>50.0 %',
        '<bdi>shop</bdi></th><td class="number">1</td><td class="number">1</td><td>100 %',
        '<bdi>without it</bdi></th><td class="number">0</td><td class="number">1</td><td>0.0 %',
        'Wanted replicas that are missing</th><td class="number">2</td><td class="number">$0.80',
        'Wanted replicas that AWS lists</th><td class="number">3</td><td class="number">$1.20',
    ):
        assert line in page


def test_the_csv_has_the_same_as_the_page(desk: Desk, tmp_path: Path) -> None:
    some_secrets(desk.world)
    _, lines = written(desk, tmp_path, "--by", "team")
    assert [(line["name"], line["status"], line["us-west-2"], line["tag team"]) for line in lines] == [
        ("broken", "needs attention", "Failed", "search"),
        ("late", "waiting", "missing", ""),
        ("a", "InSync", "InSync", "shop"),
        ("b", "InSync", "InSync", "search"),
    ]
    assert "The KMS key is disabled" in lines[0]["why"]
    assert lines[0]["dead_letters"] == "1"
    assert {line["primary_region"] for line in lines} == {HOME}


@pytest.mark.parametrize("cell", ["=1+1", "+1", "-1", "@SUM(A1)", "\t=1", "\r=1", "\n=1"])
def test_no_cell_of_the_csv_is_a_formula(cell: str) -> None:
    (line,) = csv.reader([*as_csv([["a", cell]])], strict=True) if "\n" not in cell else [["a", f"'{cell}"]]
    assert line == ["a", f"'{cell}"]


def test_a_formula_in_a_tag_is_text_in_the_csv(desk: Desk, tmp_path: Path) -> None:
    desk.world.add("a", "none", team='=HYPERLINK("http://evil")')
    _, (line,) = written(desk, tmp_path, "--by", "team")
    assert line["tag team"] == '\'=HYPERLINK("http://evil")'


def test_it_is_never_100_percent_while_one_is_missing() -> None:
    assert percent(2999, 3000) == "99.9 %"
    assert percent(99_999, 100_000) == "99.9 %"
    assert percent(0, 0) == "nothing"
    assert percent(5, 5) == "100 %"


def test_a_page_that_cannot_be_made_leaves_the_old_one(desk: Desk, tmp_path: Path) -> None:
    old = tmp_path / "report.html"
    old.write_text("old")
    desk.account.denied.add("secretsmanager:ListSecrets")
    assert desk.run("report", "--html", str(old)).exit_code == 1
    assert old.read_text() == "old"
    assert [path.name for path in tmp_path.iterdir() if path.name.startswith(".")] == []


def test_a_folder_that_is_not_there_is_an_error(desk: Desk, tmp_path: Path) -> None:
    result = desk.run("report", "--html", str(tmp_path / "nowhere" / "report.html"))
    assert result.exit_code == 1
    assert "report.html cannot be written (No such file or directory): name another file" in result.stderr


def test_a_device_is_written_to_and_stays_a_device(desk: Desk, tmp_path: Path) -> None:
    pipe = tmp_path / "pipe"
    os.mkfifo(pipe)
    reader = os.open(pipe, os.O_RDONLY | os.O_NONBLOCK)
    try:
        write(pipe, ["the page"])
        assert os.read(reader, 100) == b"the page"
    finally:
        os.close(reader)
    assert pipe.is_fifo()
    assert desk.run("report", "--html", "/dev/null", "--csv", "/dev/null").exit_code == 0
    assert Path("/dev/null").is_char_device()


def test_a_symbolic_link_is_followed(tmp_path: Path) -> None:
    shared = tmp_path / "shared"
    shared.mkdir()
    link = tmp_path / "report.html"
    link.symlink_to(shared / "real.html")
    for text in ("new", "newer"):
        write(link, [text])
        assert link.is_symlink()
        assert (shared / "real.html").read_text() == text


def test_the_umask_and_the_rights_of_an_old_page_hold(tmp_path: Path) -> None:
    before = os.umask(0o027)
    try:
        write(tmp_path / "new.html", ["page"])
    finally:
        os.umask(before)
    assert (tmp_path / "new.html").stat().st_mode & 0o777 == 0o640
    (tmp_path / "new.html").chmod(0o664)
    write(tmp_path / "new.html", ["page"])
    assert (tmp_path / "new.html").stat().st_mode & 0o777 == 0o664


@pytest.mark.parametrize("table", ["report", "folder/../report", "link"])
def test_the_page_and_the_table_are_two_files(desk: Desk, tmp_path: Path, table: str) -> None:
    (tmp_path / "folder").mkdir()
    (tmp_path / "link").symlink_to("report")
    result = desk.run("report", "--html", str(tmp_path / "report"), "--csv", str(tmp_path / table))
    assert result.exit_code == 1
    assert "--html and --csv name the same file" in result.stderr
    assert not (tmp_path / "report").exists()

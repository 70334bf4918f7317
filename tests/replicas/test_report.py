"""`replicas report`: the numbers of the page and of the CSV, and files that are whole or not there."""

import csv
import json
import os
import re
from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path

import pytest
from typer.testing import Result

from local.secrets_manager.model import Fault, Outcome
from replicas.aws.accounts import Answer
from replicas.commands.report.page import SHOWN, as_csv, by_account, page, percent, write
from replicas.commands.status import Status
from replicas.inventory.secret_status import Row, SecretStatus
from replicas.options import ReportOptions
from tests.support.desk import Desk
from tests.support.world import HOME, World


def some_secrets(world: World) -> None:
    world.secrets.set_outcome("broken", "us-west-2", Outcome("Failed", "The KMS key is disabled"))
    for name, team in (("a", "shop"), ("b", "search"), ("broken", "search")):
        world.add(name, "us-west-2", team=team)
        world.send(name)
    world.deliver_until_empty()
    world.add("late", "us-west-2 eu-west-1")


def written(desk: Desk, folder: Path, *arguments: str) -> tuple[str, list[dict[str, str]]]:
    """Return the page and the lines of the CSV."""
    page, lines, _ = reported(desk, folder, *arguments)
    return page, lines


def reported(
    desk: Desk, folder: Path, *arguments: str, **env: str
) -> tuple[str, list[dict[str, str]], Result]:
    """Return what was said, too."""
    html, table = folder / "report.html", folder / "report.csv"
    result = desk.run("report", "--html", str(html), "--csv", str(table), *arguments, **env)
    assert result.exit_code == 0, result.output
    with table.open(encoding="utf-8", newline="") as lines:
        return html.read_text("utf-8"), [*csv.DictReader(lines)], result


def numbers(*cells: int) -> str:
    return "".join(f'<td class="number">{cell}</td>' for cell in cells)


def test_the_page_has_the_sentence_and_the_coverage(desk: Desk, tmp_path: Path) -> None:
    some_secrets(desk.world)
    page, _ = written(desk, tmp_path, "--by", "team", "--title", "Secrets of <us>")
    assert "2 of 4 selected secrets are InSync in every Region; 1 waiting, 1 needs attention." in page
    assert "<title>Secrets of &lt;us&gt;: 50.0 % in every Region</title>" in page
    for line in (
        f"<bdi>eu-west-1</bdi></th>{numbers(0, 0, 1)}<td>0.0 %",
        f"<bdi>us-west-2</bdi></th>{numbers(2, 2, 4)}<td>50.0 %",
        '<bdi>search</bdi></th><td class="number">1</td><td class="number">2</td><td>50.0 %',
        '<bdi>shop</bdi></th><td class="number">1</td><td class="number">1</td><td>100 %',
        '<bdi>without it</bdi></th><td class="number">0</td><td class="number">1</td><td>0.0 %',
        'Wanted replicas that are missing</th><td class="number">2</td><td class="number">$0.80',
        'Wanted replicas that AWS lists</th><td class="number">3</td><td class="number">$1.20',
    ):
        assert line in page


def test_what_wants_no_replica_is_in_no_coverage(desk: Desk, tmp_path: Path) -> None:
    some_secrets(desk.world)
    desk.world.add("none/1", "none", team="search")
    desk.world.add("none/2", "none", team="idle")
    page, _ = written(desk, tmp_path, "--by", "team")
    assert '<bdi>search</bdi></th><td class="number">1</td><td class="number">2</td><td>50.0 %' in page
    assert "<bdi>idle</bdi></th>" not in page, "a line of coverage"


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


def test_what_verify_found_stands_beside_each_status(desk: Desk, tmp_path: Path) -> None:
    some_secrets(desk.world)
    page, lines = written(desk, tmp_path)
    found = {line["name"]: (line["verified us-west-2"], line["verified eu-west-1"]) for line in lines}
    assert found == {
        "a": ("current", ""),
        "b": ("current", ""),
        "broken": ("missing", ""),
        "late": ("missing", "missing"),
    }
    assert '<p class="proof">Verified: 2 of 5 replicas current in 2 Regions, 3 missing.</p>' in page
    assert page.count('<span class="found">verified: current</span>') == 2
    assert 'class="loud"' not in page, "AWS says no more than what is there"


def test_a_report_asks_what_status_and_verify_ask_and_no_more(desk: Desk, tmp_path: Path) -> None:
    some_secrets(desk.world)
    desk.account.calls.clear()
    for command in ("status", "verify"):
        desk.run(command)
    both = {call: times for call, times in desk.account.calls.items() if call.startswith("secretsmanager:")}
    desk.account.calls.clear()
    written(desk, tmp_path)
    assert {call: desk.account.calls[call] for call in both} == both


def test_what_is_in_sync_by_status_alone_is_loud_and_first(desk: Desk, tmp_path: Path) -> None:
    some_secrets(desk.world)
    del desk.world.secrets._store["us-west-2"]["b"]
    page, lines, result = reported(desk, tmp_path)
    assert "AWS says InSync, and it is not so: 1 replica" in result.stdout
    assert '<p class="loud">AWS says InSync, and it is not so: 1 replica. See below' in page
    attention = page.partition('<h2 id="attention">')[2]
    assert re.findall('<th scope="row" class="name"><bdi>(.+?)</bdi>', attention)[0] == "b"
    assert (
        'us-west-2 <span class="status good">InSync</span> <span class="found bad">verified: missing' in page
    )
    (line,) = (line for line in lines if line["name"] == "b")
    assert (line["us-west-2"], line["verified us-west-2"]) == ("InSync", "missing")
    why = "us-west-2: verify found it missing, AWS says InSync (no secret of this name is there)"
    assert line["why"] == why


def test_the_regions_of_a_secret_that_is_held_are_shown_as_all_others_are(desk: Desk, tmp_path: Path) -> None:
    some_secrets(desk.world)
    for name in ("a", "late"):
        hold = {"Key": "secret-replicator:hold", "Value": "incident 42"}
        desk.world.secrets.handle("TagResource", HOME, {"SecretId": name, "Tags": [hold]})
    _, lines = written(desk, tmp_path)
    held = {line["name"]: line for line in lines if "incident 42" in line["drift"]}
    assert {name: (line["status"], line["us-west-2"]) for name, line in held.items()} == {
        "a": ("left alone", "InSync"),
        "late": ("left alone", "missing"),
    }


def test_what_is_missing_by_both_is_no_news_and_a_promoted_copy_is(desk: Desk, tmp_path: Path) -> None:
    some_secrets(desk.world)
    desk.world.secrets.handle("StopReplicationToReplica", "us-west-2", {"SecretId": "b"})
    page, lines = written(desk, tmp_path)
    whys = {line["name"]: line["why"] for line in lines}
    assert "verify" not in whys["late"]
    assert whys["b"].startswith("us-west-2: verify found it standalone, AWS says not listed (")
    assert page.count('<span class="found bad">verified: standalone</span>') == 2
    assert 'class="loud"' not in page


def test_a_key_that_cannot_be_used_is_loud_though_the_status_is_in_sync(desk: Desk, tmp_path: Path) -> None:
    some_secrets(desk.world)
    desk.world.secrets.secret("us-west-2", "a").kms_key_id = "alias/gone"
    page, lines = written(desk, tmp_path)
    (line,) = (line for line in lines if line["name"] == "a")
    assert (line["us-west-2"], line["verified us-west-2"]) == ("InSync", "key unusable")
    assert 'class="loud"' in page


def test_a_region_that_cannot_be_listed_is_said_and_nothing_of_it_is_called_current(
    desk: Desk, tmp_path: Path
) -> None:
    some_secrets(desk.world)
    desk.world.secrets.switch_off("us-west-2")
    page, lines, result = reported(desk, tmp_path, AWS_MAX_ATTEMPTS="1")
    assert "us-west-2 could not be read: " in result.stderr
    assert "us-west-2 could not be read: " in page
    assert "Verified: 0 of 1 replica current in 1 Region, 1 missing, 1 Region not read" in page
    assert {line.get("verified us-west-2") for line in lines} == {None}


def test_json_is_the_status_the_coverage_and_the_cost_and_no_page(
    desk: Desk, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    some_secrets(desk.world)
    monkeypatch.chdir(tmp_path)
    before = [*tmp_path.iterdir()]
    document = json.loads(desk.run("report", "--json", "--by", "team").stdout)
    assert [*tmp_path.iterdir()] == before
    status = json.loads(desk.run("status", "--json").stdout)
    assert {key: document[key] for key in status} == status
    coverage = [tuple(line.values()) for line in document["coverage"]]
    assert coverage == [
        ("eu-west-1", None, None, 0, 1, 0),
        ("us-west-2", None, None, 2, 4, 2),
        (None, "team", None, 0, 1, None),
        (None, "team", "search", 1, 2, None),
        (None, "team", "shop", 1, 1, None),
    ]
    verified = sorted((found["name"], found["status"]) for found in document["replicas"])
    assert verified == [("broken", "missing"), ("late", "missing"), ("late", "missing")]
    costs = document["cost_dollars_per_month"]
    assert (costs["listed_replicas"], costs["missing_replicas"], costs["unwanted_replicas"]) == (1.2, 0.8, 0)


def test_json_and_a_page_that_is_named_are_both_written(desk: Desk, tmp_path: Path) -> None:
    some_secrets(desk.world)
    page = tmp_path / "page.html"
    result = desk.run("report", "--json", "--html", str(page))
    assert json.loads(result.stdout)["summary"]["selected"] == 4
    assert f"Written: {page}" in result.stderr
    assert page.is_file()


def test_replicas_that_were_left_behind_are_on_the_page_in_the_table_and_in_the_cost(
    desk: Desk, tmp_path: Path
) -> None:
    desk.world.add("left", "us-west-2 eu-west-1")
    desk.world.send("left")
    desk.world.deliver_until_empty()
    del desk.world.secrets.secret(HOME, "left").tags["replicate-to"]
    page, (line,) = written(desk, tmp_path)
    assert (line["name"], line["status"], line["us-west-2"]) == ("left", "not selected", "orphaned, unwanted")
    assert 'Replicas that nobody wants</th><td class="number">2</td><td class="number">$0.80' in page
    assert "2 orphaned replicas ($0.80 a month)" in page
    document = json.loads(desk.run("report", "--json").stdout)
    assert document["summary"]["orphaned_replicas"] == 2
    assert document["cost_dollars_per_month"]["unwanted_replicas"] == 0.8


def test_a_region_that_refuses_the_listing_is_named_and_ends_no_report(desk: Desk, tmp_path: Path) -> None:
    some_secrets(desk.world)
    desk.world.secrets.faults = lambda call, _: (
        Fault("AccessDeniedException", "no")
        if (call.operation, call.region) == ("ListSecrets", "eu-west-1")
        else None
    )
    result = desk.run("report", "--html", str(tmp_path / "page.html"))
    assert result.exit_code == 0, result.stderr
    assert "eu-west-1: orphaned replicas cannot be found there: Permission secretsmanager:ListSecrets" in (
        result.stderr
    )
    assert "us-west-2: orphaned" not in result.stderr
    assert (tmp_path / "page.html").is_file()


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
    assert "report.html cannot be written (no such folder): name another file" in result.stderr
    assert not desk.account.calls, "it is said before all is read"


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


def test_a_pipe_of_the_shell_is_written_to() -> None:
    """`--html >(gzip > page.gz)` and `--html /dev/stdout | gzip` name a pipe that has no path of its own."""
    reader, writer = os.pipe()
    try:
        write(Path(f"/dev/fd/{writer}"), ["the page"])
        assert os.read(reader, 100) == b"the page"
    finally:
        os.close(reader)
        os.close(writer)


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


# An organisation: a page for many accounts.


def status_of(account: str, secrets: int) -> Status:
    """Return an account in which every other secret needs attention."""
    status = Status()
    for number in range(secrets):
        of_secret = SecretStatus.IN_SYNC if number % 2 else SecretStatus.NEEDS_ATTENTION
        cells = (("us-west-2", "InSync" if number % 2 else "Failed"),)
        row = Row(HOME, f"{account}-{number}", f"arn:{account}:{number}", of_secret, cells, account=account)
        status.rows.append(row)
        status.counts.count(row)
    return status


def organisation(accounts: int, secrets: int) -> Iterator[str]:
    """Yield the page of so many accounts, with so many secrets each."""
    answers = [Answer(name, status_of(name, secrets)) for name in (f"a{n:04}" for n in range(accounts))]
    total = Status()
    for answer in answers:
        total.add(answer.value or Status())
    several = answers if accounts > 1 else ()
    return page(total, ReportOptions(html=Path("r.html")), datetime(2026, 1, 1, tzinfo=UTC), several)


def test_a_page_does_not_grow_with_the_secrets_of_a_thousand_accounts() -> None:
    """A browser takes minutes for a table of 100,000 rows: the totals stay, the CSV has the rest."""
    few, many = (sum(map(len, organisation(1000, each))) for each in (6, 12))
    assert many < 1.01 * few


def test_a_page_that_leaves_something_out_says_so() -> None:
    text = "".join(organisation(2, SHOWN))
    assert text.count("The first 2,000 of 4,000: the CSV of <code>--csv</code> has all.") == 1
    assert "The first" not in "".join(organisation(1, SHOWN))


def test_the_accounts_stand_in_the_order_in_which_they_need_attention() -> None:
    found = by_account(
        [
            Answer("calm", status_of("calm", 0)),
            Answer("busy", status_of("busy", 8)),
            Answer("shut", None, "not allowed"),
            Answer("some", status_of("some", 2)),
        ]
    )
    assert [(line.name, line.in_sync, line.wanted, line.attention, line.error) for line in found] == [
        ("shut", 0, 0, None, "not allowed"),
        ("busy", 4, 8, 4, ""),
        ("some", 1, 2, 1, ""),
        ("calm", 0, 0, 0, ""),
    ]


def test_an_account_that_could_not_be_read_comes_first_with_its_reason() -> None:
    answers = [Answer("fine", status_of("fine", 2)), Answer("<shut>", None, "not <allowed>")]
    asked, made = ReportOptions(html=Path("r.html")), datetime(2026, 1, 1, tzinfo=UTC)
    text = "".join(page(status_of("fine", 2), asked, made, answers))
    line = "<li><bdi>&lt;shut&gt;</bdi>: <bdi>not &lt;allowed&gt;</bdi></li>"
    assert line in text
    assert text.index(line) < text.index("<bdi>fine-0</bdi>")
    assert "2 accounts, 0 stacks." in text
    assert text.count("could not be read") == 2


def test_one_account_is_not_told_apart(desk: Desk, tmp_path: Path) -> None:
    some_secrets(desk.world)
    text, _ = written(desk, tmp_path)
    assert "By account" not in text
    assert f"{HOME}: stack replicator, Mode=apply" in text

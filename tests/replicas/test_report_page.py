"""The page in a real browser: nothing in the console, nothing from the network, and text stays text."""

import subprocess
import sys
from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path

import pytest

from replicas.aws.accounts import Answer
from replicas.aws.dead_letters import DeadLetter
from replicas.commands.report.page import SHOWN, page, write
from replicas.commands.status import Status
from replicas.inventory.secret_status import Counts, Row, SecretStatus
from replicas.options import ReportOptions
from tests.replicas.test_report import organisation
from tests.support import chromium
from tests.support.chromium import Chromium

pytestmark = [pytest.mark.skipif(chromium.PROGRAM is None, reason=chromium.WHERE_FROM), pytest.mark.slow]

HOSTILE = (
    "<script>document.title = 'hacked'; console.log(1)</script>",
    "<img src=x onerror=console.log(2)><b>bold</b>",
    '"><svg onload=console.log(3)>&lt;i&gt;',
    "{{ 7 * 7 }}{% raw %}",
    "\u202egnp.exe \u2066evil",
    "מפתח סודי",
    "e\u0301 \U0001f511\U0001f512",
    "x" * 512,
    "<style>*{display:none}</style><link rel=stylesheet href=http://127.0.0.1:9/x.css>",
)
UNLABELLED = """
[...document.querySelectorAll("[aria-labelledby]")]
  .filter((section) => !document.getElementById(section.getAttribute("aria-labelledby"))).length
"""
LOWEST_CONTRAST = """
(() => {
  const rgb = (text) => text.match(/[0-9.]+/g).map(Number);
  const light = (c) => {
    const part = (v) => (v /= 255) <= 0.03928 ? v / 12.92 : ((v + 0.055) / 1.055) ** 2.4;
    const [r, g, b] = c.slice(0, 3).map(part);
    return 0.2126 * r + 0.7152 * g + 0.0722 * b;
  };
  const back = (element) => {
    for (let e = element; e; e = e.parentElement) {
      const color = rgb(getComputedStyle(e).backgroundColor);
      if (color.length < 4 || color[3] > 0) return color;
    }
    return [255, 255, 255];
  };
  let lowest = [99, ""];
  for (const element of document.querySelectorAll("body *")) {
    if (![...element.childNodes].some((node) => node.nodeType === 3 && node.data.trim())) continue;
    const [a, b] = [light(rgb(getComputedStyle(element).color)), light(back(element))];
    const contrast = (Math.max(a, b) + 0.05) / (Math.min(a, b) + 0.05);
    if (contrast < lowest[0]) lowest = [contrast, element.outerHTML.slice(0, 100)];
  }
  return lowest;
})()
"""


@pytest.fixture(scope="module")
def browser(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Chromium]:
    with chromium.running(tmp_path_factory.mktemp("chromium")) as browser:
        yield browser


@pytest.fixture(scope="module")
def report(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return a page with every hostile text at every place that a person outside can fill."""
    since = datetime(2026, 11, 22, 18, 20, tzinfo=UTC)
    status = Status()
    for number, text in enumerate(HOSTILE):
        of_secret = SecretStatus(number % 3)
        cells = (("eu-west-1", "InSync"), ("us-west-2", ("Failed", "missing", "InSync")[number % 3]))
        drift = (f"us-west-2: {text}",) if number % 2 else ()
        row = Row(
            *("us-east-1", text, f"arn:{text}", of_secret, cells, since),
            *("letter", text, 1, drift, (text,), text),
        )
        status.rows.append(row)
        status.counts.count(row)
    status.other_dead_letters.append(DeadLetter(since, HOSTILE[0], HOSTILE[1], HOSTILE[2], 1, "id"))
    file = tmp_path_factory.mktemp("report") / "report.html"
    asked = ReportOptions(html=file, by=[HOSTILE[0]], title=HOSTILE[1])
    accounts = [
        answer
        for number, text in enumerate(HOSTILE)
        for answer in (Answer(text, status), Answer(f"{number}{text}", None, text))
    ]
    write(file, page(status, asked, since, accounts))
    return file


@pytest.mark.parametrize(("commands", "answers"), [(25, 30), (40, 30), (4, 3), (3, 4)])
def test_the_browser_finds_its_pipes_whatever_their_numbers_were(commands: int, answers: int) -> None:
    program = "import os; os.write(4, os.read(3, 5)); print(os.read(103, 5).decode())"
    launch = [
        sys.executable,
        "-c",
        chromium.LAUNCH,
        str(commands),
        str(answers),
        sys.executable,
        "-c",
        program,
    ]
    setting = f"""
import os
reading, writing = os.pipe()
there, here = os.pipe()
os.write(writing, b"hello")
for number, wanted in ((reading, 101), (here, 102), (there, 103), (101, {commands}), (102, {answers})):
    os.dup2(number, wanted)
os.execv({sys.executable!r}, {launch!r})
"""
    ended = subprocess.run(
        [sys.executable, "-c", setting], capture_output=True, text=True, timeout=60, check=True
    )
    assert ended.stdout == "hello\n"


def test_the_console_stays_empty_and_no_request_leaves_the_page(browser: Chromium, report: Path) -> None:
    browser.events.clear()
    for dark in (False, True):
        browser.open(report, dark=dark)
    assert browser.complaints == []
    assert {url for url in browser.requests if not url.startswith("data:")} == {report.as_uri()}


def test_a_script_in_the_page_would_be_noticed(browser: Chromium, tmp_path: Path) -> None:
    """The test above can fail."""
    file = tmp_path / "bad.html"
    file.write_text("<script>console.log(1)</script><img src=http://127.0.0.1:9/x.png>")
    browser.events.clear()
    browser.open(file)
    assert browser.complaints
    assert "http://127.0.0.1:9/x.png" in browser.requests


def test_hostile_names_and_tags_are_shown_as_text(browser: Chromium, report: Path) -> None:
    browser.open(report)
    shown = browser.value(
        "[...document.querySelectorAll('#matrix ~ .scroll tbody th > bdi')].map(e => e.textContent)"
    )
    assert sorted(shown) == sorted(HOSTILE)
    elements = (
        "document.querySelectorAll('script, img, svg, b:not(.tiles b), i, link[rel=stylesheet]').length"
    )
    assert browser.value(elements) == 0
    assert browser.value("document.querySelectorAll('style').length") == 1
    assert browser.value("document.title").startswith(HOSTILE[1])


@pytest.mark.parametrize("dark", [False, True])
def test_every_text_has_enough_contrast(browser: Chromium, report: Path, dark: bool) -> None:  # noqa: FBT001
    """4.5 to 1: https://www.w3.org/WAI/WCAG22/Understanding/contrast-minimum.html."""
    browser.open(report, dark=dark)
    contrast, element = browser.value(LOWEST_CONTRAST)
    assert contrast >= 4.5, element
    dark_page = browser.value("getComputedStyle(document.body).backgroundColor")
    assert (dark_page == "rgb(18, 21, 26)") is dark


@pytest.mark.parametrize("width", [360, 768, 1280])
def test_the_page_is_never_wider_than_the_window(browser: Chromium, report: Path, width: int) -> None:
    browser.open(report, width=width)
    assert browser.value("document.documentElement.scrollWidth") <= width


def test_the_page_can_be_read_by_a_screen_reader(browser: Chromium, report: Path) -> None:
    browser.open(report)
    for selector in ("html[lang=en]", "header h1", "main", "footer", "a.skip[href='#main']"):
        assert browser.value(f'document.querySelectorAll("{selector}").length') == 1, selector
    assert browser.value("document.querySelectorAll('th:not([scope])').length") == 0
    assert (
        browser.value("[...document.querySelectorAll('tbody tr')].filter(r => !r.querySelector('th')).length")
        == 0
    )
    # Whoever cannot see colours reads the same: each status is a word.
    assert (
        browser.value("[...document.querySelectorAll('.status')].filter(s => !s.textContent.trim()).length")
        == 0
    )
    assert browser.value(UNLABELLED) == 0


def test_the_page_can_be_printed(browser: Chromium, report: Path) -> None:
    browser.open(report)
    pdf = browser.pdf()
    assert pdf.startswith(b"%PDF-")
    assert len(pdf) > 20_000


def test_a_thousand_accounts_are_hardly_more_to_a_browser_than_one(browser: Chromium, tmp_path: Path) -> None:
    """What a page takes to open follows its elements: docs/explanation/many-accounts.md."""
    elements = []
    for number, each in ((1, SHOWN), (1000, 20)):
        file = tmp_path / f"{number}.html"
        write(file, organisation(number, each))
        browser.open(file)
        elements.append(browser.value("document.getElementsByTagName('*').length"))
    one, thousand = elements
    assert thousand < 3 * one


def test_a_page_about_nothing_is_a_page(browser: Chromium, tmp_path: Path) -> None:
    status, file = Status(counts=Counts()), tmp_path / "empty.html"
    write(file, page(status, ReportOptions(html=file), datetime(2026, 1, 1, tzinfo=UTC)))
    browser.open(file)
    assert "0 of 0 selected secrets" in browser.value("document.body.textContent")

"""docs/explanation/decisions.md: records that a reader can skim, none of them twice."""

import re
from pathlib import Path

PAGE = (Path(__file__).parents[2] / "docs/explanation/decisions.md").read_text("utf-8")
_INTRODUCTION, *RECORDS = re.split(r"^## ", PAGE, flags=re.MULTILINE)


def test_a_record_has_a_heading_of_its_own_and_a_text() -> None:
    headings = [record.partition("\n")[0] for record in RECORDS]
    assert len(headings) > 50
    assert len(set(headings)) == len(headings)
    assert [record for record in RECORDS if not record.partition("\n")[2].strip()] == []
    assert re.findall(r"^\*\*.*", PAGE, re.MULTILINE) == []


def test_a_record_is_short() -> None:
    assert {record.partition("\n")[0] for record in RECORDS if len(record.split()) > 110} == set()

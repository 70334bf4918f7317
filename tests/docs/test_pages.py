"""The pages: each kind of wrong is made once, and seen."""

import re
from pathlib import Path

import pytest

from local.demo.examples import EXAMPLES
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
    new = page(tmp_path, docs.generated(old.read_text("utf-8")))
    assert [found for found in docs.problems(new) if "dead link" not in found] == []


@pytest.mark.parametrize(
    "link",
    [pytest.param("no-such-page.md", id="a page that is not there"), pytest.param("#none", id="a heading")],
)
def test_a_dead_link_is_found(tmp_path: Path, link: str) -> None:
    (problem,) = docs.problems(page(tmp_path, f"# Title\n\n[here]({link}) and [there](#title)\n"))
    assert link in problem


@pytest.mark.parametrize(
    "text", ["three letters", "mend the cause", "the alarm rings", "it needs you", "the only door"]
)
def test_a_word_of_the_old_vocabulary_is_found(tmp_path: Path, text: str) -> None:
    assert len([*docs.problems(page(tmp_path, text))]) == 1


SHOWN = {
    "module.py": """raise Error(f"three letters about {name}")\n""",
    "column.py": """Column("Standing")\n""",
    "template.yaml": "      AlarmDescription: >-\n        The alarm\n        rings.\n",
    "page.j2": "<p>{{ count }} needs you</p>",
}


@pytest.mark.parametrize(("name", "text"), SHOWN.items(), ids=SHOWN)
def test_an_old_word_that_a_person_is_shown_is_found(tmp_path: Path, name: str, text: str) -> None:
    source = tmp_path / name
    source.write_text(text, "utf-8")
    assert len([*docs.wording_problems(source)]) == 1


def test_an_old_word_in_a_docstring_or_a_key_is_not_shown(tmp_path: Path) -> None:
    source = tmp_path / "module.py"
    source.write_text('"""A letter."""\nfacts = {"letters": 1}\n', "utf-8")
    assert [*docs.wording_problems(source)] == []


@pytest.mark.parametrize("source", docs.shown_sources(), ids=lambda path: str(path.relative_to(docs.ROOT)))
def test_every_shown_text_uses_the_fields_words(source: Path) -> None:
    assert [*docs.wording_problems(source)] == []


def test_the_readme_is_of_one_sitting() -> None:
    assert len((docs.ROOT / "README.md").read_text("utf-8").splitlines()) <= 250


def test_where_a_page_names_a_delegated_administrator_it_names_the_option_for_one() -> None:
    pages = [page.read_text("utf-8") for page in (docs.ROOT / "docs").rglob("*.md")]
    naming = [text for text in pages if "delegated administrator" in text and "stack-set" in text]
    assert naming
    assert all("--call-as DELEGATED_ADMIN" in text for text in naming)


def test_sam_is_given_the_stacks_name_and_region_wherever_it_has_a_config_env_of_its_own() -> None:
    pages = [
        page.read_text("utf-8") for page in [*(docs.ROOT / "docs").rglob("*.md"), docs.ROOT / "README.md"]
    ]
    lines = [
        line for text in pages for line in text.splitlines() if "--guided" in line and "--config-env" in line
    ]
    assert lines
    assert all("--stack-name secret-replicator --region " in line for line in lines)


def test_a_later_deployment_with_a_config_env_may_change_nothing() -> None:
    """What `sam deploy --guided` saves there has not the setting that samconfig.toml has by default."""
    pages = [page.read_text("utf-8") for page in (docs.ROOT / "docs").rglob("*.md")]
    later = [
        line
        for text in pages
        for line in text.splitlines()
        if "sam deploy --config-env" in line and "--guided" not in line
    ]
    assert later
    assert all("--no-fail-on-empty-changeset" in line for line in later)


def test_no_parameter_is_set_where_the_next_deployment_takes_it_back() -> None:
    """`sam deploy` gives what `--guided` saved, and `--parameter-overrides` saves nothing."""
    pages = [*(docs.ROOT / "docs").rglob("*.md"), docs.ROOT / "README.md"]
    assert [
        page.name for page in pages if "sam deploy --parameter-overrides" in page.read_text("utf-8")
    ] == []


def test_the_first_deployment_uses_no_tool_before_it_is_there() -> None:
    text = (docs.ROOT / "docs/tutorial/first-deployment.md").read_text("utf-8")
    assert text.index("\nmake setup\n") < min(text.index(f"\n{tool} ") for tool in ("aws", "sam"))


def test_the_secrets_that_are_looked_up_without_deploying_are_there() -> None:
    text = (docs.ROOT / "docs/how-to/run-without-deploying.md").read_text("utf-8")
    names = re.findall(r"--secret-id (\S+)", text)
    assert names
    assert {*names} <= EXAMPLES.keys()


def test_an_update_of_a_stack_set_names_the_parameters_that_were_set() -> None:
    """CloudFormation gives the others their defaults, and AllowedRegions has none."""
    text = (docs.ROOT / "docs/how-to/deploy-to-an-organisation.md").read_text("utf-8")
    (update,) = re.findall(r"^aws cloudformation update-stack-set .*?^```", text, re.DOTALL | re.MULTILINE)
    assert "--capabilities CAPABILITY_IAM" in update
    assert {*re.findall(r"ParameterKey=(\w+),UsePreviousValue=true", update)} == {
        *re.findall(r"ParameterKey=(\w+),ParameterValue", text)
    }

"""What a reader copies from the pages: JSON and TOML parse, and cfn-lint finds nothing in CloudFormation."""

import json
import re
import subprocess
import sys
import tomllib
from pathlib import Path

import pytest
from _pytest.mark import ParameterSet

from tools import docs

_BLOCK = re.compile(r"^( *)```(json|toml|yaml)\n(.*?)^ *```", re.DOTALL | re.MULTILINE)


def snippets(language: str) -> list[ParameterSet]:
    """Return the blocks of a language as parameters: the page's name and the text."""
    found = []
    for page in docs.pages():
        for number, block in enumerate(_BLOCK.finditer(page.read_text("utf-8"))):
            if block[2] == language:
                text = re.sub(rf"^{block[1]}", "", block[3], flags=re.MULTILINE)
                found.append(pytest.param(text, id=f"{page.name}, block {number}"))
    return found


@pytest.mark.parametrize("text", snippets("json"))
def test_json_that_is_shown_parses(text: str) -> None:
    assert json.loads(text)


@pytest.mark.parametrize("text", snippets("toml"))
def test_toml_that_is_shown_parses(text: str) -> None:
    assert tomllib.loads(text)


@pytest.mark.slow
def test_every_template_that_is_shown_passes_cfn_lint(tmp_path: Path) -> None:
    templates = [(tmp_path / f"{shown.id}.yaml", shown.values[0]) for shown in snippets("yaml")]
    for template, text in templates:
        template.write_text(str(text), "utf-8")
    files = [str(template) for template, _ in templates]
    command = [Path(sys.executable).with_name("cfn-lint"), "--regions", "us-east-1", "--", *files]
    said = subprocess.run(command, capture_output=True, text=True, check=False)
    assert files
    assert said.returncode == 0, said.stdout + said.stderr

"""The operator's commands on the deployed stack, found with `--local`."""

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from typer.testing import CliRunner

from local.process.environment import HOME_REGION, LOCAL_POLICY
from replicas.aws.local_endpoint import Address, published, read_address
from replicas.cli import app
from tests.e2e.world import World

pytestmark = pytest.mark.xdist_group("e2e")


@pytest.fixture
def here(world: World, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[World]:
    """The local AWS of these tests, where `--local` looks for it."""
    monkeypatch.setattr(read_address, "__defaults__", (tmp_path,))
    with published(
        Address(world.stack.aws.endpoint, str(world.stack.aws.ca_bundle), HOME_REGION, str(LOCAL_POLICY)),
        tmp_path,
    ):
        yield world


def answered(command: str, *arguments: str, exit_codes: tuple[int, ...] = (0,)) -> Any:
    result = CliRunner().invoke(app, [command, "--local", "--json", *arguments])
    assert result.exit_code in exit_codes, result.output
    return json.loads(result.stdout)


def test_a_secret_is_planned_applied_explained_and_then_in_its_place(here: World) -> None:
    name = here.create({"replicate-to": "europe"})
    planned = answered("plan", "--secret", name, "--detailed-exitcode", exit_codes=(2,))
    assert planned["summary"]["add_regions"] == ["eu-central-1", "eu-west-1"]
    applied = answered("apply", "--secret", name, "--yes")
    summary = applied["summary"]
    assert (summary["selected"], summary["converged"], applied["complete"]) == (1, 1, True)
    here.wait_for_replicas(name, "eu-central-1", "eu-west-1")
    (row,) = answered("status", "--secret", name, "--no-dead-letters")["secrets"]
    assert row["regions"] == {"eu-central-1": "InSync", "eu-west-1": "InSync"}
    assert answered("explain", name)["answer"][0].startswith("It is where it must be.")


def test_the_report_is_written(here: World, tmp_path: Path) -> None:
    here.create({"replicate-to": "none"})
    page = tmp_path / "report.html"
    assert CliRunner().invoke(app, ["report", "--local", "--html", str(page)]).exit_code == 0
    assert "selected secrets are InSync in every Region" in page.read_text("utf-8")

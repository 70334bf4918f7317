"""`replicas sweep` on the deployed stack: every selected secret is accounted for."""

import json
import os
from concurrent.futures import ThreadPoolExecutor

import pytest
from typer.testing import CliRunner

from local.process.environment import HOME_REGION
from local.stack import STACK
from replicas.cli import app
from tests.e2e.world import World

pytestmark = pytest.mark.xdist_group("e2e")

SECRETS = int(os.environ.get("SWEEP_SECRETS", "120"))
"""`make backfill` takes two thousand; at 20 writes a second they take two minutes."""


def test_a_sweep_is_followed_until_every_secret_is_accounted_for(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("AWS_ACCESS_KEY_ID", "test")
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", "test")
    monkeypatch.setenv("AWS_CA_BUNDLE", str(world.stack.aws.ca_bundle))
    with ThreadPoolExecutor(8) as pool:
        pool.map(lambda number: world.create({"replicate-to": "dr"}, f"swept/{number:04}"), range(SECRETS))
    world.create({"replicate-to": "eu-wst-1"}, "swept/wrong")
    where = ["--endpoint-url", world.stack.aws.endpoint, "--region", HOME_REGION, "--stack", STACK]
    result = CliRunner().invoke(app, ["sweep", "--json", *where])
    facts = json.loads(result.stdout)
    assert facts["complete"], result.stderr
    assert facts["summary"]["converged"] >= SECRETS
    assert facts["summary"]["selected"] > SECRETS
    assert [found["name"] for found in facts["dead_letters"]].count("swept/wrong") == 1
    assert result.exit_code == 2, "a dead letter is not all well"
    assert all(world.replicas(f"swept/{number:04}") == {"us-west-2"} for number in range(0, SECRETS, 50))
    for dead_letter in world.dead_letters("swept/wrong"):
        world.delete_dead_letter(dead_letter)

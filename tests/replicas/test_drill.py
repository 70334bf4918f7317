"""`make drill`, with the operator killed at random: what it shows, it checks itself."""

import random
from io import StringIO
from itertools import product
from pathlib import Path
from typing import Any

import pytest
from rich.console import Console

from local.drill.play import expect, play
from local.errors import LocalError
from local.secrets_manager.model import ManualClock
from local.secrets_manager.service import StrictSecretsManager
from local.secrets_manager.worlds import Worlds
from replicas.terminal import Screen
from tests.support.drill import InProcess

WORLDS: list[tuple[Any, Any, bool]] = [
    *product(["accepted", "refused"], ["nothing", "failed", "stale"], [False, True])
]


@pytest.mark.slow
@pytest.mark.parametrize("seed", range(20))
def test_the_drill_loses_nothing_whenever_it_is_killed(tmp_path: Path, seed: int) -> None:
    clock = ManualClock()
    repeat, shows, own_ids = WORLDS[seed % len(WORLDS)]
    secrets = StrictSecretsManager(
        clock=clock,
        sleep=clock.advance,
        worlds=Worlds(repeat, old_primary_shows=shows, own_version_ids=own_ids, seconds_in_progress=0.5),
    )
    shown = StringIO()
    screen = Screen(Console(file=shown, width=200), Console(file=StringIO()))
    chance = random.Random(seed)  # noqa: S311  repeatable on purpose
    with secrets.serve() as url:
        scene = InProcess(tmp_path, url, secrets.worlds, clock, clock.advance, chance, secrets=secrets)
        play(scene, screen)
    assert "\n\n2. us-east-1 does not answer: the replicas of us-west-2 are promoted\n" in shown.getvalue()


def test_what_is_not_as_it_must_be_ends_the_drill() -> None:
    with pytest.raises(LocalError, match="It is not so that all is well: 1 instead of 2"):
        expect(1, 2, "all is well")

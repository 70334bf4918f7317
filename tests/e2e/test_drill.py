"""`make drill` as people run it: two stacks on the strict local AWS, and rights that are enforced."""

import os
from collections.abc import Iterator
from contextlib import nullcontext
from io import StringIO
from typing import Any

import pytest
from botocore.exceptions import ClientError
from rich.console import Console

from local.aws.ministack import WORLDS
from local.drill.play import play
from local.drill.scene import HOME, SECRETS, THERE
from local.drill.two_stacks import TwoStacks, two_stacks
from replicas.aws.connection import connect
from replicas.terminal import Screen

pytestmark = [pytest.mark.xdist_group("drill"), pytest.mark.slow]


@pytest.fixture(scope="module")
def scene() -> Iterator[TwoStacks]:
    with two_stacks(lambda _text: nullcontext(), os.environ.get(WORLDS, "")) as scene:
        yield scene


@pytest.fixture(scope="module")
def played(scene: TwoStacks) -> TwoStacks:
    quiet = Console(file=StringIO())
    play(scene, Screen(quiet, quiet))
    return scene


def test_nothing_is_lost_and_both_stacks_leave_alone_what_is_not_theirs(played: TwoStacks) -> None:
    """The drill checks itself what it shows."""
    assert len({*played.reported(HOME, "promoted")}) == (SECRETS if played.shows_promoted else 0)
    assert len({*played.reported(THERE, "held")}) == SECRETS


def test_a_promotion_is_heard_in_the_region_of_the_copy_and_nowhere_else(played: TwoStacks) -> None:
    heard = {
        region: [delivery for delivery in deliveries if delivery.call == "StopReplicationToReplica"]
        for region, deliveries in played.heard.items()
    }
    assert (len(heard[HOME]), len(heard[THERE])) == (0, SECRETS)
    assert all(delivery.rules for delivery in heard[THERE])


def test_the_operator_can_read_no_value(played: TwoStacks) -> None:
    secrets: Any = connect(played.access(THERE)).secrets
    for read in (
        lambda: secrets.get_secret_value(SecretId="app/00"),
        lambda: secrets.batch_get_secret_value(SecretIdList=["app/00"]),
    ):
        with pytest.raises(ClientError, match="AccessDenied"):
            read()


def test_the_application_can_do_nothing_but_read_values(played: TwoStacks) -> None:
    application: Any = played.reader(THERE)
    assert application.get_secret_value(SecretId="app/00")["SecretString"] == played.written["app/00"]
    for call in (
        lambda: application.describe_secret(SecretId="app/00"),
        application.list_secrets,
        lambda: application.put_secret_value(SecretId="app/00", SecretString="mine"),
    ):
        with pytest.raises(ClientError, match="AccessDenied"):
            call()

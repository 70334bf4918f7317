"""`replicas smoke` against the strict model of Secrets Manager; the real function works between its looks."""

import re
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field, replace
from pathlib import Path

import boto3
import pytest
from botocore.config import Config
from botocore.exceptions import ClientError, EndpointConnectionError

from local.secrets_manager.model import Fault, Outcome
from replicas import interrupts
from replicas.aws.connection import Connection
from replicas.commands import smoke
from replicas.commands.smoke import Trial
from tests.support.world import HOME, World

REGIONS = ("eu-west-1", "us-west-2")
NAME = "secret-replicator-smoke/test"


@dataclass
class Account:
    """An account with the function deployed, as smoke sees it."""

    world: World
    url: str
    said: list[str] = field(default_factory=list)
    hears: bool = True
    sent: bool = False
    when_asleep: Callable[[], None] = lambda: None

    def trial(self) -> Trial:
        config = Config(retries={"total_max_attempts": 1})
        session = boto3.Session("testing", "testing", region_name=HOME)
        return Trial(
            connection=Connection(session, self.url, None, config),
            regions=REGIONS,
            tag_key="replicate-to",
            say=self.said.append,
            tag_value=" ".join(REGIONS),
            observe=True,
            now=self.world.clock,
            sleep=self.sleep,
            name=NAME,
        )

    def sleep(self, seconds: float) -> None:
        """Let time pass, and the function work as if CloudTrail had told it of the secret."""
        self.world.clock.advance(seconds)
        self.when_asleep()
        if self.hears and not self.sent:
            self.world.send(NAME)
            self.sent = True
        self.world.deliver()

    def left_over(self) -> list[str]:
        return [name for region in (HOME, *REGIONS) for name in self.world.secrets.names(region)]

    def stop(self) -> None:
        raise interrupts.Interrupted(15)

    @property
    def text(self) -> str:
        return "\n".join(self.said)


@pytest.fixture
def account(world: World) -> Iterator[Account]:
    world.secrets.worlds.seconds_in_progress = 5
    with world.secrets.serve() as url, interrupts.installed():
        yield Account(world, url)


def test_a_secret_is_followed_to_insync_and_removed(account: Account) -> None:
    assert smoke.carry_out(account.trial()) is True
    assert "eu-west-1 is InProgress" in account.text
    assert "us-west-2 is InSync" in account.text
    assert f"Removed {NAME} and its replicas" in account.text
    assert account.left_over() == []


def test_no_value_is_read(account: Account) -> None:
    smoke.carry_out(account.trial())
    assert not account.world.secrets.calls_of("GetSecretValue", "BatchGetSecretValue")


def test_what_was_observed_is_said_a_line_each(account: Account) -> None:
    smoke.carry_out(account.trial())
    assert re.search(r"^Observed: eu-west-1 was InProgress for \d+\.\d s$", account.text, re.MULTILINE)
    assert "Observed: after the last replica was removed, PrimaryRegion was " in account.text


def test_nothing_is_observed_unless_it_is_asked_for(account: Account) -> None:
    smoke.carry_out(replace(account.trial(), observe=False))
    assert "Observed" not in account.text


def test_a_region_that_failed_and_then_heals_is_one_region(account: Account) -> None:
    """The other one is still under way then: it must be waited for."""
    account.world.secrets.set_outcome(NAME, "eu-west-1", Outcome("Failed", "no luck", seconds=1, attempts=1))
    account.world.secrets.set_outcome(NAME, "us-west-2", Outcome(seconds=90))
    heals = account.world.secrets.worlds.repeat == "accepted"
    assert smoke.carry_out(account.trial()) is heals
    assert "eu-west-1 is Failed: no luck" in account.text
    assert "us-west-2 is InSync" in account.text


def test_a_region_that_fails_is_reported_with_awss_reason_and_all_is_removed(account: Account) -> None:
    account.world.secrets.add_secret("us-west-2", NAME)
    assert smoke.carry_out(account.trial()) is False
    assert "us-west-2 is Failed: " in account.text
    assert account.left_over() == [NAME], "somebody else's secret of that name stays"


def test_a_function_that_hears_of_nothing_is_found_out_and_the_secret_removed(account: Account) -> None:
    account.hears = False
    assert smoke.carry_out(account.trial()) is False
    assert "Not InSync after 300 s: eu-west-1, us-west-2. No event reached the function" in account.text
    assert account.left_over() == []


@pytest.mark.parametrize("checks", [1, 3])
def test_interrupted_at_any_check_it_leaves_nothing(account: Account, checks: int) -> None:
    left = iter([*[None] * (checks - 1), account.stop])

    def stop_in_time() -> None:
        if action := next(left, None):
            action()

    account.when_asleep = stop_in_time
    with pytest.raises(interrupts.Interrupted):
        smoke.carry_out(account.trial())
    assert account.left_over() == []


def test_what_is_left_is_said_when_the_network_is_gone(account: Account) -> None:
    trial = account.trial()

    def break_off(**_: object) -> None:
        raise EndpointConnectionError(endpoint_url=account.url)

    trial.home.meta.events.register("before-send.secrets-manager.RemoveRegionsFromReplication", break_off)
    with pytest.raises(EndpointConnectionError):
        smoke.carry_out(trial)
    assert f"{NAME} could not be removed. Remove it by hand: aws secretsmanager" in account.text


def test_a_full_disk_leaves_nothing(account: Account) -> None:
    with Path("/dev/full").open("wb", 0) as full:
        trial = account.trial()
        trial.say = lambda text: trial.arn and full.write(text.encode())
        with pytest.raises(OSError, match="No space left"):
            smoke.carry_out(trial)
    assert account.world.secrets.calls_of("CreateSecret"), "it ended before there was anything to remove"
    assert account.left_over() == []


def test_what_cannot_be_removed_is_said_with_the_way_to_do_it_by_hand(account: Account) -> None:
    account.world.secrets.fail_next("RemoveRegionsFromReplication", *[Fault("InternalServiceError")] * 3)
    with pytest.raises(ClientError, match="InternalServiceError"):
        smoke.carry_out(account.trial())
    assert f"{NAME} could not be removed. Remove it by hand: aws secretsmanager" in account.text


def test_what_could_not_be_created_is_not_said_to_be_removed_or_left(account: Account) -> None:
    denied = Fault("AccessDeniedException", "no")
    account.world.secrets.faults = lambda call, _: denied if call.operation != "TagResource" else None
    with pytest.raises(ClientError, match="CreateSecret"):
        smoke.carry_out(account.trial())
    assert account.said == [f"Create {NAME} with the tag replicate-to=eu-west-1 us-west-2"]

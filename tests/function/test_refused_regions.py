"""Regions that AWS refuses do not stop the others, nor slow them without bound, at any budget."""

import pytest

from local.secrets_manager.model import Fault
from tests.support.world import HOME, Lines, World
from tools.bench.refused import REGIONS, run

pytestmark = pytest.mark.filterwarnings("ignore:No application metrics to publish")


@pytest.mark.slow
def test_three_refused_regions_of_ten_cost_the_others_little() -> None:
    good, bad = run(0), run(3)
    assert (good.writes, good.dead_letters) == (100, 0)
    assert bad.dead_letters == 100
    assert bad.writes <= 2 * good.writes
    assert bad.seconds <= 1.5 * good.seconds


@pytest.mark.parametrize("call_seconds", [0.05, 0.4])
def test_at_the_lowest_budget_the_good_regions_come_and_the_others_have_their_reasons(
    call_seconds: float,
) -> None:
    """One write a second for each instance, and the first three Regions of the alphabet are not enabled."""
    found = run(3, secrets=10, call_seconds=call_seconds, writes_per_second=2)
    assert found.writes <= 100, "it took 694, and no Region came"
    assert found.seconds <= 150
    assert found.dead_letters == 10


def ten_regions(world: World, **changes: int) -> World:
    world.secrets.regions -= {*REGIONS[:3]}
    world.add("orders/db", to="all")
    other = world.having(allowed_regions=REGIONS, **changes)
    other.send("orders/db")
    return other


def slow(world: World, seconds: float) -> None:
    def answer_slowly(call: object, _random: object) -> Fault | None:
        return Fault(delay_seconds=seconds) if "Replicate" in str(call) else None

    world.secrets.faults = answer_slowly


def test_one_secret_takes_no_more_than_a_share_of_the_time(world: World) -> None:
    other = ten_regions(world, writes_per_second=2)
    slow(world, 3)
    began = world.clock()
    other.deliver()
    assert world.clock() - began < 22
    assert 3 <= len(world.calls("ReplicateSecretToRegions")) < 6


def test_an_attempt_whose_time_is_up_after_a_write_is_put_off_and_goes_on_elsewhere(world: World) -> None:
    other = ten_regions(world, writes_per_second=2)
    slow(world, 3)
    other.deliver()
    assert other.only_message().visible_at > world.clock(), "it went back at once, to do the same again"
    other.deliver_until_empty()
    assert set(world.status("orders/db")) == {*REGIONS[3:]}
    dead_letter = other.only_dead_letter()
    assert dead_letter["ErrorType"] == "Refused"
    assert dead_letter["FailedRegions"] == ",".join(REGIONS[:3])
    whole = [
        call
        for call in world.calls("ReplicateSecretToRegions")
        if len(call.parameters["AddReplicaRegions"]) == len(REGIONS)
    ]
    assert len(whole) == 1, "what was refused was asked again in the same way"


def test_at_the_only_attempt_a_region_that_was_lately_refused_is_asked_for(world: World) -> None:
    world.secrets.regions -= {"us-west-2"}
    other = world.having(max_attempts=1)
    for name in ("first", "second"):
        world.add(name, to="eu-west-1 us-west-2")
        other.send(name)
        other.deliver()
    (*_, last) = world.calls("ReplicateSecretToRegions")
    assert (last.secret, last.parameters["AddReplicaRegions"]) == ("second", [{"Region": "us-west-2"}])


def test_a_region_that_waits_for_others_is_not_said_to_be_requested(world: World, log_lines: Lines) -> None:
    world.secrets.regions -= {"us-west-2"}
    for name in ("first", "second"):
        world.add(name, to="eu-west-1 us-west-2")
        world.send(name)
        world.deliver()
    (line,) = [line for line in log_lines() if line["secret"].rpartition(":")[2].startswith("second")]
    assert "us-west-2 is not requested yet" in line["reason"]


def test_what_is_known_of_refused_regions_is_reported_though_the_last_attempt_met_a_fault(
    world: World,
) -> None:
    world.secrets.regions -= {"us-west-2"}
    world.add("orders/db", to="eu-west-1 us-west-2")
    other = world.having(max_attempts=1)
    other.send("orders/db")
    refused = Fault("InvalidParameterException", "Invalid replica region.")
    throttled = Fault("ThrottlingException", "Rate exceeded")
    world.secrets.fail_next("ReplicateSecretToRegions", refused, refused, throttled)
    other.deliver()
    text = other.only_dead_letter()["ErrorMessage"]
    assert "Rate exceeded" in text
    assert "Invalid replica region." in text


def test_a_message_that_never_got_its_turn_has_a_dead_letter_with_the_reason(world: World) -> None:
    world.add("orders/db", to="eu-west-1")
    world.send("orders/db")
    for _ in range(24):
        world.clock.advance(1100)
        world.deliver(seconds=1)
    dead_letter = world.only_dead_letter()
    assert dead_letter["ErrorType"] == "AttemptsUsedUp"
    assert "the function's time is up" in dead_letter["ErrorMessage"]
    assert not world.secrets.secret(HOME, "orders/db").replicas


def test_a_refused_region_does_not_stop_the_other_in_the_same_attempt(world: World) -> None:
    world.secrets.regions -= {"eu-west-1"}
    world.add("orders/db", to="all")
    world.send("orders/db")
    world.deliver()
    assert set(world.status("orders/db")) == {"us-west-2"}


def test_a_later_attempt_asks_for_each_region_alone_also_in_an_instance_that_knows_nothing(
    world: World,
) -> None:
    ten_regions(world).deliver()
    world.clock.advance(world.only_message().visible_at - world.clock())
    before = len(world.calls("ReplicateSecretToRegions"))
    world.having(allowed_regions=REGIONS).deliver()
    later = world.calls("ReplicateSecretToRegions")[before:]
    assert [len(call.parameters["AddReplicaRegions"]) for call in later] == [1] * 3

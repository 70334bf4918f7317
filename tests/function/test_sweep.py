"""A sweep finds what events missed, page by page, through the same queue."""

import json
import random
from typing import Any

import pytest

from local.secrets_manager.model import THROTTLED, Call, Fault
from secret_replicator.budget import CALL_SECONDS
from tests.support.world import FUNCTION_SECONDS, HOME, Lines, World


def test_a_sweep_converges_every_selected_secret_and_touches_no_other(world: World) -> None:
    for number in range(230):
        world.add(f"tagged/{number:03}", to="eu-west-1")
        world.add(f"other/{number:03}")
    world.queues.send('{"sweep": {}}')
    world.deliver_until_empty(batches=1000)
    assert all(world.status(f"tagged/{number:03}") == {"eu-west-1": "InSync"} for number in range(230))
    described = {call.secret for call in world.calls("DescribeSecret")}
    assert not [name for name in described if name and "other/" in name]
    assert not world.queues.dead_letters


def test_a_sweep_finds_what_only_a_rule_selects_and_leaves_replicas_out(world: World) -> None:
    world.add("ruled", environment="prod", criticality="high")
    world.add("nearly", environment="prod", criticality="low")
    world.secrets.add_secret("eu-west-1", "theirs", tags={"replicate-to": "us-west-2"})
    world.secrets.handle(
        "ReplicateSecretToRegions",
        "eu-west-1",
        {"SecretId": "theirs", "AddReplicaRegions": [{"Region": HOME}]},
    )
    world.deliver()
    world.queues.send('{"sweep": {}}')
    world.deliver()
    assert [json.loads(message.body) for message in world.queues.messages] == [
        {"secret_id": world.secrets.secret(HOME, "ruled").arn, "sweep_id": "message-0"}
    ]


@pytest.mark.parametrize("operation", ["SendMessageBatch"])
def test_a_page_that_could_not_be_enqueued_is_swept_again(world: World, operation: str) -> None:
    world.add("orders/db", to="eu-west-1")
    world.queues.send('{"sweep": {}}')
    world.queues.failing = {operation}
    world.deliver()
    assert [message.body for message in world.queues.messages] == ['{"sweep": {}}']
    world.queues.failing = set()
    world.deliver_until_empty()
    assert world.status("orders/db") == {"eu-west-1": "InSync"}


def test_a_throttled_page_is_swept_again(world: World) -> None:
    world.add("orders/db", to="eu-west-1")
    world.secrets.fail_next("ListSecrets", THROTTLED)
    world.queues.send('{"sweep": {}}')
    world.deliver_until_empty()
    assert world.status("orders/db") == {"eu-west-1": "InSync"}


def test_a_policy_with_more_tag_keys_than_a_filter_takes_is_swept_without_one(world: World) -> None:
    rules = "".join(f'[[rules]]\nmatch = {{ key{number} = "*" }}\nregions = ["dr"]\n' for number in range(10))
    policy_file = world.app.settings.policy_file.with_name("many.toml")
    policy_file.write_text(f'[tag]\nkey = "replicate-to"\n[groups]\ndr = ["us-west-2"]\n{rules}')
    wide = world.having(policy_file=policy_file)
    wide.add("ruled", key9="yes")
    wide.add("other")
    wide.queues.send('{"sweep": {}}')
    wide.deliver_until_empty()
    assert "Filters" not in wide.calls("ListSecrets")[0].parameters
    assert wide.status("ruled") == {"us-west-2": "InSync"}
    assert wide.status("other") == {}


def test_a_page_is_filtered_by_the_keys_that_can_select(world: World) -> None:
    world.queues.send('{"sweep": {}}')
    world.deliver()
    (call,) = world.calls("ListSecrets")
    assert call.parameters["Filters"] == [
        {"Key": "tag-key", "Values": ["environment", "replicate-to", "team"]}
    ]


def page_of(world: World) -> dict[str, Any]:
    (body,) = [message.body for message in world.queues.messages if "sweep" in json.loads(message.body)]
    return json.loads(body)["sweep"]


def test_a_page_brings_the_next_one_with_its_number_and_the_sweeps_id(world: World) -> None:
    for number in range(150):
        world.add(f"tagged/{number:03}", to="eu-west-1")
    world.queues.send('{"sweep": {"id": "a sweep"}}')
    world.deliver()
    page = page_of(world)
    assert (page["id"], page["page"], "restarted" in page) == ("a sweep", 2, False)
    assert page["next_token"]
    assert {json.loads(message.body).get("sweep_id", "a sweep") for message in world.queues.messages} == {
        "a sweep"
    }


def page_delays(world: World, selected: int, **settings: Any) -> list[float]:
    """Return by how many seconds each of nine pages delays the next, if so many of a page are selected."""
    for number in range(1000):
        world.clock.advance(0.001)  # they are listed in order of creation
        tag = "replicate-to" if number % 100 < selected else "environment"
        world.add(f"{number:04}", **{tag: "eu-west-1"})
    world = world.having(**settings)
    random.seed(1)  # the delays are rounded by chance: the same one in every run
    delays = []
    world.queues.send('{"sweep": {}}')
    for _ in range(9):
        world.deliver()
        *secrets, following = world.queues.messages
        assert {message.visible_at for message in secrets} <= {world.clock()}, "what is found need not wait"
        delays.append(following.visible_at - world.clock())
        world.queues.messages.clear()
        world.queues.send(following.body)
    return delays


def test_pages_come_no_faster_than_they_are_worked_off_but_one_is_ahead(world: World) -> None:
    first, *others = page_delays(world, selected=100, writes_per_second=8)
    assert first == 0
    assert {*others} == {12, 13}, "SQS knows whole seconds only: 12.5 of them are needed"


def test_a_page_with_few_selected_secrets_delays_the_next_one_sometimes(world: World) -> None:
    assert {*page_delays(world, selected=10, writes_per_second=20)} == {0, 1}


def test_a_page_with_no_selected_secret_delays_nothing(world: World) -> None:
    assert {*page_delays(world, selected=0)} == {0}


def test_no_page_is_put_off_longer_than_sqs_can(world: World) -> None:
    assert max(page_delays(world, selected=100, writes_per_second=0.1)) == 900


def test_the_time_that_a_page_takes_itself_is_no_delay_on_top(world: World) -> None:
    world.secrets.faults = lambda call, _random: (
        Fault(delay_seconds=3) if call.operation == "ListSecrets" else None
    )
    assert page_delays(world, selected=100, writes_per_second=10)[1:] == [7] * 8


def test_a_page_that_took_too_long_to_list_enqueues_nothing(world: World) -> None:
    """The time for it is up: what the function may not finish, it does not begin."""
    world.add("orders/db", to="eu-west-1")
    world.secrets.faults = lambda call, _random: (
        Fault(delay_seconds=FUNCTION_SECONDS - CALL_SECONDS + 1) if call.operation == "ListSecrets" else None
    )
    world.queues.send('{"sweep": {}}')
    world.deliver()
    assert world.only_message().body == '{"sweep": {}}'


def test_a_page_that_took_too_long_to_enqueue_does_not_begin_the_next(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    for number in range(101):
        world.add(f"tagged/{number:03}", to="eu-west-1")
    send = world.queues.send_message_batch

    def slowly(**parameters: Any) -> dict[str, Any]:
        world.clock.advance((FUNCTION_SECONDS - CALL_SECONDS) / 9)  # ten calls of ten messages
        return send(**parameters)

    monkeypatch.setattr(world.queues, "send_message_batch", slowly)
    world.queues.send('{"sweep": {}}')
    world.deliver()
    assert page_of(world) == {}, "the same page again"
    assert len(world.queues.messages) == 101


def test_a_sweep_whose_token_has_expired_begins_anew_once_and_says_so(world: World, log_lines: Lines) -> None:
    for number in range(150):
        world.add(f"tagged/{number:03}", to="eu-west-1")
    world.queues.send('{"sweep": {"id": "a sweep"}}')
    world.deliver()
    world.secrets.listing.expire_tokens()
    world.deliver_until_empty(batches=1000)
    assert all(world.status(f"tagged/{number:03}") == {"eu-west-1": "InSync"} for number in range(150))
    assert not world.queues.dead_letters
    pages = [line for line in log_lines() if line["message"] != "secret_reconciled"]
    assert [(line["message"], line["page"], line["restarted"]) for line in pages] == [
        ("page_swept", 1, False),
        ("sweep_restarted", 2, True),
        ("page_swept", 1, True),
        ("page_swept", 2, True),
    ]
    assert {line["sweep_id"] for line in pages} == {"a sweep"}
    assert pages[1]["reason"].startswith("begun anew from the first page")
    assert "InvalidNextTokenException" in pages[1]["reason"]


def test_a_sweep_that_has_begun_anew_and_is_refused_again_is_dead_lettered(world: World) -> None:
    world.queues.send('{"sweep": {"next_token": "no such token", "restarted": true, "page": 2}}')
    world.deliver_until_empty()
    dead_letter = world.only_dead_letter()
    assert (dead_letter["ErrorType"], dead_letter["SecretArn"]) == ("Refused", "sweep")
    assert dead_letter["ErrorMessage"].endswith("delete this dead letter: the next sweep starts again")


def test_a_first_page_that_is_refused_is_dead_lettered_and_does_not_begin_anew(world: World) -> None:
    refusal = Fault("InvalidParameterException", "no such filter")
    world.secrets.fail_next("ListSecrets", refusal, refusal)
    world.queues.send('{"sweep": {}}')
    world.deliver_until_empty()
    assert world.only_dead_letter()["ErrorType"] == "Refused"
    assert len(world.calls("ListSecrets")) == 2


def test_every_page_and_every_secret_of_a_sweep_says_so_in_the_log(world: World, log_lines: Lines) -> None:
    for number in range(101):
        world.add(f"tagged/{number:03}", to="eu-west-1")
    world.clock.advance(1)
    world.add("other", environment="prod")
    world.queues.send('{"sweep": {"id": "a sweep"}}')
    world.deliver_until_empty(batches=1000)
    lines = log_lines()
    assert {line["sweep_id"] for line in lines} == {"a sweep"}
    pages = [line for line in lines if line["message"] == "page_swept"]
    assert [(line["page"], line["listed"], line["selected"], line["last"]) for line in pages] == [
        (1, 100, 100, False),
        (2, 2, 1, True),
    ]
    converged = {line["secret"] for line in lines if line["outcome"] == "converged"}
    assert len(converged) == 101


def test_a_sweep_without_an_id_has_that_of_its_first_message(world: World, log_lines: Lines) -> None:
    world.add("orders/db", to="eu-west-1")
    world.queues.send('{"sweep": {}}')
    world.deliver_until_empty()
    assert {line["sweep_id"] for line in log_lines()} == {"message-0"}


def test_a_page_that_could_not_be_read_names_its_sweep(world: World, log_lines: Lines) -> None:
    world.secrets.fail_next("ListSecrets", THROTTLED)
    world.queues.send('{"sweep": {"id": "a sweep"}}')
    world.deliver()
    (line,) = log_lines()
    assert (line["message"], line["sweep_id"], line["verdict"]) == ("page_not_swept", "a sweep", "put_off")


def test_a_secret_that_is_scheduled_for_deletion_is_left_out_though_it_is_listed(world: World) -> None:
    world.add("orders/db", to="eu-west-1")
    world.secrets.faults = lambda call, _random: delete_when_listed(world, call)
    world.queues.send('{"sweep": {}}')
    world.deliver()
    assert not world.queues.messages


def delete_when_listed(world: World, call: Call) -> None:
    """AWS's list may lag: it shows a secret whose deletion it knows of."""
    if call.operation == "ListSecrets":
        call.parameters["IncludePlannedDeletion"] = True
        world.secrets.secret(HOME, "orders/db").delete_at = 4e9


def test_a_tag_key_that_no_filter_takes_is_swept_without_one(world: World) -> None:
    policy_file = world.app.settings.policy_file.with_name("accents.toml")
    policy_file.write_text('[tag]\nkey = "réplique-à"\n', encoding="utf-8")
    accents = world.having(policy_file=policy_file)
    accents.add("tagged", **{"réplique-à": "eu-west-1"})
    accents.queues.send('{"sweep": {}}')
    accents.deliver_until_empty()
    assert "Filters" not in accents.calls("ListSecrets")[0].parameters
    assert accents.status("tagged") == {"eu-west-1": "InSync"}


def test_the_schedules_own_event_is_a_sweep(world: World) -> None:
    world.add("orders/db", to="eu-west-1")
    world.queues.send('{"source": "aws.events", "detail-type": "Scheduled Event", "detail": {}}')
    world.deliver_until_empty()
    assert world.status("orders/db") == {"eu-west-1": "InSync"}

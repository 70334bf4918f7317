"""`replicas explain`: whoever has never seen the tool learns from it why a secret is not replicated."""

import json
from collections.abc import Callable

import pytest

from local.secrets_manager.model import ACCESS_DENIED, Outcome
from tests.support.desk import Desk
from tests.support.fakes.queues import DeadLetter
from tests.support.world import HOME, World

SAME_NAME = "Secret with this name already exists in this region"


def told(desk: Desk, *arguments: str) -> str:
    result = desk.run("explain", "a", *arguments)
    assert result.exit_code == 0, result.output
    return result.stdout


def worked(world: World) -> None:
    """Let the function look at the secret until it is done with it."""
    world.send("a")
    world.deliver_until_empty()


def fails(message: str) -> Callable[[World], object]:
    def prepare(world: World) -> None:
        world.secrets.set_outcome("a", "us-west-2", Outcome("Failed", message))
        world.add("a", "us-west-2")
        worked(world)

    return prepare


def denied(world: World) -> None:
    world.secrets.faults = lambda call, _: (
        ACCESS_DENIED if call.operation == "ReplicateSecretToRegions" else None
    )
    world.add("a", "us-west-2")
    worked(world)


def deleted(world: World) -> None:
    secret = world.add("a", "us-west-2")
    world.secrets.handle("DeleteSecret", HOME, {"SecretId": secret.arn})


def in_progress(world: World) -> None:
    world.secrets.worlds.seconds_in_progress = 1000
    world.add("a", "us-west-2")
    world.send("a")
    world.deliver()


def key_missing(world: World) -> None:
    world.add("a", "us-west-2", team="payments")
    worked(world)


def tagged(to: str | None = None, **tags: str) -> Callable[[World], object]:
    return lambda world: world.add("a", to, **{key.replace("9", "-"): value for key, value in tags.items()})


REASONS = [
    pytest.param(
        tagged(team="search"),
        [
            "It is not replicated: it has neither the tag replicate-to nor all tags of a rule.",
            "The closest rule is rule 3: team is search, and must be payments",
        ],
        id="no tag selects it: the closest rule and what it misses",
    ),
    pytest.param(
        tagged(environment="prod"),
        ["closest rule is rule 1: it has no tag criticality (must be high or critical)."],
        id="half of a rule's tags",
    ),
    pytest.param(
        tagged(environment="prod", criticality="hihg"),
        ["criticality is hihg, and must be high or critical: did you mean high?"],
        id="a misspelt tag value",
    ),
    pytest.param(
        tagged(environment="Prod", criticality="high"),
        ["environment is Prod, and must be prod: did you mean prod?"],
        id="another case of a tag value",
    ),
    pytest.param(
        tagged(replicate_to="eu-west-1"),
        ["It has the tag replicate_to (eu-west-1): did you mean replicate-to?"],
        id="a misspelt tag key",
    ),
    pytest.param(
        lambda world: world.secrets.add_secret(HOME, "a", tags={"Replicate-To": "eu-west-1"}),
        ["It has the tag Replicate-To (eu-west-1): did you mean replicate-to?"],
        id="another case of the tag key",
    ),
    pytest.param(
        tagged(enviroment="prod", criticality="high"),
        ["it has no tag environment (must be prod), but enviroment: did you mean environment?"],
        id="a misspelt tag key of a rule",
    ),
    pytest.param(
        tagged("eu-wst-1"),
        [
            "It is not where it was asked to be: tag replicate-to asks for eu-wst-1",
            "AWS has no Region eu-wst-1: did you mean eu-west-1?",
        ],
        id="a misspelt Region",
    ),
    pytest.param(
        tagged("europ"),
        ["There is neither a Region nor a group europ: did you mean europe?"],
        id="a misspelt group",
    ),
    pytest.param(
        tagged("ap-south-1"),
        ["asks for ap-south-1, which is not in AllowedRegions", "AllowedRegions=eu-west-1,us-west-2"],
        id="a Region that the operator does not allow",
    ),
    pytest.param(
        tagged("us-west-2", residency="eu"),
        [
            "asks for us-west-2, which rule 2 of the policy forbids (only eu-central-1 eu-west-1)",
            "rule 2 applies: allows only eu-central-1, eu-west-1",
        ],
        id="a Region that a rule cuts",
    ),
    pytest.param(
        tagged(""), ["tag replicate-to is empty", "name Regions and groups in it"], id="an empty tag"
    ),
    pytest.param(
        tagged("none"),
        ["It is not replicated: its tag replicate-to says none, and no rule asks for a Region."],
        id="none",
    ),
    pytest.param(
        tagged("none us-west-2"),
        ["tag replicate-to says none together with something else"],
        id="none and a Region, which is no answer",
    ),
    pytest.param(
        tagged(HOME),
        ["It is not replicated: it asks only for us-east-1, which is its home Region."],
        id="only its home Region",
    ),
    pytest.param(
        lambda world: world.secrets.add_secret(
            HOME, "a", tags={"replicate-to": "all"}, primary_region="eu-west-1"
        ),
        [
            "It is a replica: its primary in eu-west-1 decides. Ask there.",
            "replicas explain a --region eu-west-1",
        ],
        id="a replica",
    ),
    pytest.param(
        deleted,
        ["It is not replicated: it is scheduled for deletion.", "nothing, unless the secret is restored"],
        id="scheduled for deletion",
    ),
    pytest.param(
        lambda world: world.secrets.add_secret(
            HOME, "a", tags={"environment": "prod", "criticality": "high"}, owning_service="rds"
        ),
        [
            "It is left alone: it belongs to rds, and only a rule asks for it.",
            "it does not touch this secret",
        ],
        id="managed by a service",
    ),
    pytest.param(
        tagged("us-west-2", **{"secret-replicator:hold": "failed over"}),
        [
            "It is left alone: it has the tag secret-replicator:hold (failed over).",
            "it does not touch this secret",
        ],
        id="held",
    ),
    pytest.param(
        tagged("true"),
        ["tag replicate-to says 'true', which names no Region", "say which Regions, or all"],
        id="a yes, which is no Region",
    ),
    pytest.param(
        fails(SAME_NAME),
        [
            "It is not where it must be: us-west-2 is Failed.",
            "The function gave up: AttemptsUsedUp",
            SAME_NAME,
            "You: see with replicas verify whether a promoted copy stands in us-west-2",
            "AllowOverwrite=false",
            "You: once it is fixed, replicas redrive --secret a",
        ],
        id="its name is taken",
    ),
    pytest.param(
        key_missing,
        [
            "us-west-2 is Failed",
            "alias/payments (rule 3)",
            "You: check the key alias/payments in us-west-2, named by: rule 3",
        ],
        id="its key is missing",
    ),
    pytest.param(
        denied,
        ["us-west-2 is missing", "The function gave up: AccessDenied", "ReplicateSecretToRegions"],
        id="a permission is missing",
    ),
    pytest.param(
        in_progress,
        ["us-west-2 is InProgress", "The function: checks until us-west-2 is InSync, 10 times at most"],
        id="it is under way",
    ),
    pytest.param(
        tagged("us-west-2"),
        [
            "us-west-2 is missing",
            "replicas apply --secret a",
            "is there a CloudTrail trail that logs management events?",
        ],
        id="no event arrived",
    ),
]


@pytest.mark.parametrize(("prepare", "says"), REASONS)
def test_the_reason_is_said(desk: Desk, prepare: Callable[[World], object], says: list[str]) -> None:
    prepare(desk.world)
    text = told(desk)
    for words in says:
        assert words in text, f"a person would not learn {words!r} from:\n{text}"


def test_a_converged_secret_is_said_to_be_where_it_must_be(desk: Desk) -> None:
    desk.world.add("a", "dr eu-west-1")
    worked(desk.world)
    text = told(desk)
    assert "It is where it must be. InSync: eu-west-1, us-west-2." in text
    assert "tag replicate-to (dr)\taws/secretsmanager (no rule and no [kms_keys] names one)\tInSync" in text
    assert "The function: nothing, until the next sweep or a change of the secret" in text


def test_a_secret_that_is_not_there_is_an_error_with_the_name_that_may_be_meant(desk: Desk) -> None:
    desk.world.add("orders/db")
    result = desk.run("explain", "order/db")
    assert (result.exit_code, result.stdout) == (1, "")
    assert result.stderr.endswith("There is no secret order/db in us-east-1: did you mean orders/db?\n")


def test_a_name_that_is_like_no_other_is_looked_for_elsewhere(desk: Desk) -> None:
    result = desk.run("explain", "zzz")
    assert result.stderr.endswith("name another Region with --region, or another --profile\n")


def test_the_first_of_several_regions_that_has_it_explains_it(desk: Desk) -> None:
    desk.world.secrets.add_secret("eu-west-1", "a", tags={})
    assert "a in eu-west-1" in told(desk, "--region", HOME, "--region", "eu-west-1")


def test_the_dead_letters_can_be_left_alone(desk: Desk) -> None:
    desk.world.add("a")
    assert "Dead letters\n  not read" in told(desk, "--no-dead-letters")
    assert desk.account.calls["sqs:ReceiveMessage"] == 0


def test_json_has_the_same(desk: Desk) -> None:
    fails(SAME_NAME)(desk.world)
    document = json.loads(told(desk, "--json"))
    assert document["answer"][0] == "It is not where it must be: us-west-2 is Failed. InSync: none."
    assert document["replicas"][0]["aws_message"] == SAME_NAME
    assert document["dead_letters"][0]["error_type"] == "AttemptsUsedUp"
    assert document["tags"] == {"replicate-to": "us-west-2"}


def test_hostile_tags_cannot_steer_the_terminal(desk: Desk) -> None:
    desk.world.secrets.add_secret(HOME, "a", tags={"replicate-to": "\x1b[2J\u202e[red]eu", "\x1b]0;x": "y"})
    text = told(desk)
    assert "\x1b" not in text
    assert "\u202e" not in text
    assert "[red]eu" in text


def left_behind(world: World, **tags: str) -> None:
    world.add("a", "us-west-2")
    worked(world)
    world.secrets.secret(HOME, "a").tags.clear()
    world.secrets.secret(HOME, "a").tags.update({key.replace("_", "-"): value for key, value in tags.items()})


@pytest.mark.parametrize("tags", [{}, {"replicate_to": "none"}])
def test_replicas_that_are_there_are_never_denied(desk: Desk, tags: dict[str, str]) -> None:
    left_behind(desk.world, **tags)
    text = told(desk)
    assert "It is not replicated" not in text
    assert "The replicas it has stay: us-west-2 (InSync)." in text


def test_a_cut_is_a_whole_sentence(desk: Desk) -> None:
    desk.world.add("a", "us-west-2", residency="eu")
    assert "not allowed: rule 2 of the policy forbids it (only eu-central-1 eu-west-1)" in told(desk)


def test_an_old_dead_letter_does_not_speak_against_what_is_true_now(desk: Desk) -> None:
    desk.world.add("a", "us-west-2 eu-wst-1")
    worked(desk.world)
    desk.world.secrets.secret(HOME, "a").tags["replicate-to"] = "us-west-2"
    text = told(desk)
    assert "It is where it must be. InSync: us-west-2." in text
    assert "Its dead letter is from before: " in text
    assert "to end its dead letter and the alarm, replicas redrive --fixed --secret a" in text


@pytest.mark.parametrize("stack", [True, False])
def test_the_arn_of_a_replica_leads_to_its_primary(desk: Desk, *, stack: bool) -> None:
    arn = desk.world.add("a", "us-west-2").arn
    worked(desk.world)
    if not stack:
        desk.account.stacks.clear()
    result = desk.run("explain", arn.replace(HOME, "us-west-2"))
    assert (result.exit_code, result.stderr.count("no stack")) == (0, 0)
    assert f"It is a replica: its primary in {HOME} decides." in result.stdout


def test_each_failed_region_has_its_own_remedy(desk: Desk) -> None:
    world = desk.world
    taken = "Secret with this name already exists in this region"
    for region, message in (("eu-west-1", taken), ("us-west-2", "The KMS key is disabled")):
        world.secrets.set_outcome("a", region, Outcome("Failed", message))
    world.add("a", "eu-west-1 us-west-2")
    world.send("a")
    world.deliver_until_empty()
    text = desk.run("explain", "a").stdout
    assert "whether a promoted copy stands in eu-west-1" in text
    assert "whether a promoted copy stands in us-west-2" not in text
    assert "check the key aws/secretsmanager in us-west-2" in text


def test_of_a_replica_no_region_is_said_to_be_missing(desk: Desk) -> None:
    """Its primary's tags stand on it, but only the primary can have replicas."""
    desk.world.secrets.add_secret(
        HOME, "a", tags={"replicate-to": "eu-west-1 us-west-2"}, primary_region="eu-west-1"
    )
    said = told(desk)
    assert "It is a replica: its primary in eu-west-1 decides. Ask there." in said
    assert "missing" not in said
    assert json.loads(told(desk, "--json"))["replicas"] == []


def test_what_was_written_by_each_sweep_is_one_line(desk: Desk) -> None:
    desk.world.add("a", "eu-wst-1")
    for _ in range(3):
        worked(desk.world)
        desk.world.clock.advance(86_400)
    lines = [line for line in told(desk).splitlines() if ": RegionProblem: " in line and " UTC" in line]
    assert len(lines) == 1
    assert " after 1 attempt (3 times): RegionProblem: " in lines[0]
    assert len(json.loads(told(desk, "--json"))["dead_letters"]) == 3


def test_nobody_is_sent_to_a_region_of_which_aws_has_said_nothing(desk: Desk) -> None:
    """A crash says nothing of a Region; nor does EventBridge, where it could not deliver."""
    desk.world.add("a", "us-west-2")
    desk.world.queues.dead_letters.append(DeadLetter('{"secret_id": "a"}', {}))
    said = desk.run("explain", "a").stdout
    assert "NoReason: no reason given: the function crashed" in said
    assert "fix in us-west-2 what AWS names" not in said
    assert "You: once it is fixed, replicas redrive --secret a" in said


def test_what_fails_is_asked_for_again_by_the_message_that_waits(desk: Desk) -> None:
    """Without a dead letter it has not given up: neither an event nor a sweep is needed."""
    desk.world.secrets.set_outcome("a", "us-west-2", Outcome("Failed", SAME_NAME))
    desk.world.add("a", "us-west-2")
    desk.world.send("a")
    desk.world.deliver()
    desk.world.clock.advance(60)
    assert len(desk.world.queues.messages) == 1
    assert "requests us-west-2 at its next attempt: a message that waits, an event, or" in told(desk)


def test_a_secret_that_is_not_there_is_said_not_to_be_also_where_none_may_be_listed(desk: Desk) -> None:
    desk.account.denied.add("secretsmanager:ListSecrets")
    result = desk.run("explain", "typo")
    assert "There is no secret typo in us-east-1: name another Region with --region" in result.stderr
    assert result.exit_code == 1

"""`replicas plan`: what it predicts is what the function does."""

import json
from pathlib import Path
from random import Random
from typing import Any

import pytest

from local.secrets_manager.model import ACCESS_DENIED, DAY, Outcome
from local.secrets_manager.service import StrictSecretsManager
from tests.support.desk import Desk, at_desk, policy_file
from tests.support.world import HOME, POLICY, World, make_world

TAG_VALUES = (
    *("eu-west-1", "us-west-2", "eu-west-1 us-west-2", "EU-WEST-1,us-west-2", "dr", "europe", "dr+europe"),
    *(
        "all",
        "none",
        "none eu-west-1",
        "",
        "eu-wst-1",
        "eu-west-1 eu-wst-1",
        "mars",
        "us-east-1",
        "us-east-1 dr",
    ),
)
OTHER_TAGS = {
    "environment": ("prod", "test"),
    "criticality": ("high", "critical", "low"),
    "residency": ("eu", "us"),
    "team": ("payments", "search"),
}


def planned(desk: Desk, *arguments: str) -> dict[str, Any]:
    result = desk.run("plan", "--json", *arguments)
    assert result.exit_code == 0, result.output
    document: dict[str, Any] = json.loads(result.stdout)
    return document


def steps(document: dict[str, Any], *kinds: str) -> set[tuple[str, str, str]]:
    """Return secret, Region and key of what would be done."""
    return {
        (secret["name"], step["region"], step["key"])
        for secret in document["secrets"]
        for step in secret["steps"]
        if step["action"] in kinds
    }


# What it predicts is what happens.


def random_tags(random: Random) -> dict[str, str]:
    tags = {key: random.choice(values) for key, values in OTHER_TAGS.items() if random.random() < 0.4}
    if random.random() < 0.6:
        tags["replicate-to"] = random.choice(TAG_VALUES)
    return tags


def add_random_secret(secrets: StrictSecretsManager, name: str, random: Random) -> None:
    """Add a secret in any state in which the function may find it."""
    fields: dict[str, Any] = {"tags": random_tags(random)}
    kind = random.random()
    if kind < 0.05:
        fields["owning_service"] = "rds"
    elif kind < 0.1:
        fields["primary_region"] = "eu-central-1"
    secret = secrets.add_secret(HOME, name, **fields)
    if kind < 0.1:
        return
    for region in random.sample(("eu-west-1", "us-west-2", "eu-central-1"), random.randrange(3)):
        state = random.choice(("InSync", "InProgress", "Failed"))
        secrets.set_outcome(name, region, Outcome(seconds=100 if state == "InProgress" else 0))
        entry = {"Region": region}
        secrets.handle(
            "ReplicateSecretToRegions", HOME, {"SecretId": secret.arn, "AddReplicaRegions": [entry]}
        )
        secrets.secret(HOME, name)
        if state == "Failed":
            secret.replicas[region].status, secret.replicas[region].message = "Failed", "because"
        if random.random() < 0.3:
            secret.replicas[region].last_accessed = secret.created - random.choice((1, 30)) * DAY
    if kind > 0.97 and not secret.replicas:
        secrets.handle("DeleteSecret", HOME, {"SecretId": secret.arn})


def done(world: World) -> tuple[set[tuple[str, str, str]], set[tuple[str, str]]]:
    """Return what the function requested, in whatever number of calls for a secret, and what it removed."""
    requested = {
        (str(call.secret), entry["Region"], entry.get("KmsKeyId", "aws/secretsmanager"))
        for call in world.calls("ReplicateSecretToRegions")
        for entry in call.parameters["AddReplicaRegions"]
    }
    removed = {
        (str(call.secret), region)
        for call in world.calls("RemoveRegionsFromReplication")
        for region in call.parameters["RemoveReplicaRegions"]
    }
    return requested, removed


@pytest.mark.slow
@pytest.mark.parametrize(("secrets", "prune"), [(1000, True), (100, False)])
def test_the_plan_and_the_function_agree_on_random_secrets(
    tmp_path: Path,
    secrets: int,
    prune: bool,  # noqa: FBT001
) -> None:
    world = make_world(tmp_path).having(prune_replicas=prune)
    random = Random(7 + prune)  # noqa: S311 - repeatable on purpose
    world.secrets.set_key("us-west-2", "alias/payments")
    for number in range(secrets):
        add_random_secret(world.secrets, f"random/{number}", random)
    world.clock.advance(50)
    with at_desk(world) as desk:
        before = planned(desk)
        world.secrets.calls.clear()
        world.queues.send('{"sweep": {}}')
        world.deliver_until_empty(batches=3000)
        requested, removed = done(world)
        assert steps(before, "add", "retry") == requested
        assert {step[:2] for step in steps(before, "remove")} == removed
        assert bool(removed) is prune
        assert min(before["summary"][what] for what in ("add", "retry", "wait", "drift", "problem")) > 0
        after = planned(desk)
    asked_in_vain = {
        name for name in world.secrets.names(HOME) if world.secrets.secret(HOME, name).owning_service
    }
    assert {name for name, *_ in steps(after, "add")} <= asked_in_vain
    assert {after["summary"][what] for what in ("retry", "wait", "remove")} == {0}
    assert steps(after, "problem") == steps(before, "problem")


def test_planning_writes_nothing(desk: Desk) -> None:
    desk.world.add("a", "eu-west-1")
    desk.run("plan")
    operations = {call.operation for call in desk.world.secrets.calls}
    assert operations == {"ListSecrets", "DescribeSecret"}
    assert not desk.world.queues.messages


# What it says.


def test_every_secret_with_something_to_say_has_a_line_for_each_region(desk: Desk) -> None:
    world = desk.world
    world.add("shop/db", "eu-west-1 us-west-2", team="payments")
    world.add("mail/smtp", "eu-west-1 eu-wst-1")
    assert desk.rows("plan") == [
        [HOME, "mail/smtp", "+ add", "eu-west-1", "aws/secretsmanager", ""],
        [
            *(HOME, "mail/smtp", "! problem", "eu-wst-1", ""),
            (
                "tag replicate-to asks for eu-wst-1, which is not in AllowedRegions - correct the Region, or "
                "let the operator allow it"
            ),
        ],
        [HOME, "shop/db", "+ add", "eu-west-1", "aws/secretsmanager", ""],
        [HOME, "shop/db", "+ add", "us-west-2", "alias/payments", ""],
    ]


def test_what_failed_is_retried_and_what_is_under_way_is_waited_for(desk: Desk) -> None:
    world = desk.world
    world.secrets.set_outcome("a", "eu-west-1", Outcome("Failed", "Secret with this name already exists"))
    world.secrets.set_outcome("a", "us-west-2", Outcome(seconds=1000))
    world.add("a", "eu-west-1 us-west-2")
    world.send("a")
    world.deliver()
    assert [row[2:4] + row[5:] for row in desk.rows("plan")] == [
        ["~ retry", "eu-west-1", "Failed (Secret with this name already exists)"],
        [". wait", "us-west-2", "InProgress"],
    ]
    assert "Plan: 0 to add, 1 to retry, 1 to wait for, 0 to remove" in desk.run("plan").stdout


def test_the_summary_is_one_line_with_what_it_adds_to_the_bill(desk: Desk) -> None:
    for number in range(3):
        desk.world.add(f"new/{number}", "eu-west-1 us-west-2")
    desk.world.add("wrong", "eu-wst-1")
    for number in range(4):
        desk.world.add(f"none/{number}", "none")
    lines = desk.run("plan").stdout.splitlines()[-2:]
    assert lines == [
        "Plan: 6 to add in 2 Regions, 0 to retry, 0 to remove, 1 problem, 4 unchanged",
        (
            "Cost: +$2.40 a month for replicas ($0.40 each), and less than $0.01 for a daily sweep of 8 "
            "secrets (270 calls, $0.05 per 10,000). List prices, without KMS."
        ),
    ]


@pytest.mark.parametrize(
    ("to", "arguments", "exit_code"),
    [
        pytest.param("eu-west-1", [], 0, id="changes, and nobody asks"),
        pytest.param("eu-west-1", ["--detailed-exitcode"], 2, id="changes"),
        pytest.param("none", ["--detailed-exitcode"], 0, id="no changes"),
        pytest.param("eu-wst-1", ["--detailed-exitcode"], 0, id="only a problem, which is no change"),
        pytest.param("none", ["--detailed-exitcode", "--stack", "nope"], 1, id="an error"),
        pytest.param("none", ["--detailed-exitcode", "--nonsense"], 2, id="wrong usage"),
        pytest.param("none", ["--tag", "=x"], 2, id="a filter without a key"),
    ],
)
def test_the_exit_code_is_terraforms(desk: Desk, to: str, arguments: list[str], exit_code: int) -> None:
    desk.world.add("a", to)
    assert desk.run("plan", *arguments).exit_code == exit_code


@pytest.mark.parametrize(
    ("arguments", "names"),
    [
        pytest.param(["--secret", "a/*"], {"a/1", "a/2"}, id="a name with a wildcard"),
        pytest.param(["--secret", "a/1", "--secret", "b"], {"a/1", "b"}, id="two names"),
        pytest.param(["--tag", "team=sup*"], {"a/1"}, id="a tag with a wildcard"),
        pytest.param(["--tag", "team"], {"a/1", "b"}, id="a tag of any value"),
        pytest.param(["--tag", "team", "--tag", "replicate-to=us*"], {"b"}, id="two tags, both needed"),
        pytest.param(["--replica-region", "us-west-2"], {"b"}, id="a Region"),
    ],
)
def test_filters_choose_secrets_and_the_others_are_not_described(
    desk: Desk, arguments: list[str], names: set[str]
) -> None:
    desk.world.add("a/1", "eu-west-1", team="support")
    desk.world.add("a/2", "eu-west-1")
    desk.world.add("b", "us-west-2", team="search")
    assert {row[1] for row in desk.rows("plan", *arguments)} == names
    if "--replica-region" not in arguments:
        assert len(desk.world.calls("DescribeSecret")) == len(names)


def test_a_deployment_in_plan_mode_is_said_to_write_nothing(tmp_path: Path) -> None:
    with at_desk(make_world(tmp_path).having(mode="plan")) as desk:
        desk.world.add("a", "eu-west-1")
        result = desk.run("plan")
    assert "1 to add" in result.stdout
    assert "us-east-1 is deployed with Mode=plan: its function writes nothing." in result.stderr


def test_several_regions_are_planned_together(desk: Desk) -> None:
    desk.world.add("a", "us-west-2")
    desk.world.secrets.add_secret("eu-west-1", "b", tags={"replicate-to": "us-west-2"})
    rows = desk.rows("plan", "--region", HOME, "--region", "eu-west-1")
    assert [row[:2] for row in rows] == [[HOME, "a"], ["eu-west-1", "b"]]


# Before anything is deployed, and with other policies.


def test_without_a_stack_the_allowed_regions_are_given(desk: Desk) -> None:
    desk.account.stacks.clear()
    desk.world.add("a", "eu-west-1 eu-central-1")
    missing = desk.run("plan")
    assert missing.exit_code == 1
    assert "There is no stack replicator in us-east-1" in missing.stderr
    assert "--allowed-regions" in missing.stderr
    rows = desk.rows("plan", "--allowed-regions", "eu-central-1")
    assert [row[2:4] for row in rows] == [["+ add", "eu-central-1"], ["! problem", "eu-west-1"]]


def test_what_is_no_region_is_refused(desk: Desk) -> None:
    result = desk.run("plan", "--allowed-regions", "eu-west-1,mars")
    assert (result.exit_code, result.stdout) == (2, "")
    assert "'mars' is not a Region" in result.stderr


def test_another_policy_is_planned_with(desk: Desk, tmp_path: Path) -> None:
    desk.world.add("a", keep="eu-west-1")
    file = policy_file(tmp_path, '[tag]\nkey = "keep"\n')
    result = desk.run("plan", "--policy", file)
    assert "1 to add" in result.stdout
    assert f"policy {file}" in result.stderr


def test_a_wrong_policy_is_refused_with_all_its_errors(desk: Desk, tmp_path: Path) -> None:
    file = policy_file(tmp_path, '[tag]\nkee = "x"\n[groups]\ndr = ["us-wset2"]\n')
    for option in ("--policy", "--against"):
        result = desk.run("plan", option, file)
        assert result.exit_code == 1
        assert result.stderr.splitlines()[-3:] == [
            "  [tag] kee: unknown key; allowed keys: key",
            "  [tag] key: must be a string",
            "  [groups] dr item 1: 'us-wset2' is not a Region code",
        ]
        assert "is wrong:" in result.stderr
        assert not desk.world.calls("ListSecrets")


def test_a_policy_that_is_not_there_is_an_error(desk: Desk, tmp_path: Path) -> None:
    result = desk.run("plan", "--policy", str(tmp_path / "nothing.toml"))
    assert result.exit_code == 1
    assert "cannot be read" in result.stderr


def overwriting(world: World) -> World:
    world.secrets.set_key("us-west-2", "alias/payments")
    world.add("a", "eu-west-1", team="payments")
    return world.having(allow_overwrite=True)


def test_a_plan_says_in_which_regions_it_may_overwrite(tmp_path: Path) -> None:
    with at_desk(overwriting(make_world(tmp_path))) as desk:
        rows = desk.rows("plan")
        assert [row[2:4] for row in rows] == [["+ add", "eu-west-1"], ["+ add, may overwrite", "us-west-2"]]
        (secret,) = planned(desk)["secrets"]
        assert [step["may_overwrite"] for step in secret["steps"]] == [False, True]


def test_a_plan_overwrites_nothing_while_the_switch_is_off(desk: Desk) -> None:
    overwriting(desk.world)
    assert [row[2] for row in desk.rows("plan")] == ["+ add", "+ add"]


def test_a_comparison_says_where_the_new_policy_may_overwrite(tmp_path: Path) -> None:
    world = overwriting(make_world(tmp_path))
    old = policy_file(tmp_path, POLICY.replace('"payments"', '"others"'))
    with at_desk(world) as desk:
        rows = [line.split("\t") for line in desk.run("plan", "--against", old).stdout.splitlines()]
    assert ["+ gains, may overwrite", "us-west-2"] in [row[2:4] for row in rows]


@pytest.mark.parametrize(
    "fields",
    [
        pytest.param({"owning_service": "rds"}, id="a service's"),
        pytest.param({"tags": {"team": "payments", "secret-replicator:hold": ""}}, id="held"),
        pytest.param({"delete_at": 2e10}, id="scheduled for deletion"),
    ],
)
def test_a_comparison_promises_nothing_for_what_the_function_leaves_alone(
    desk: Desk, tmp_path: Path, fields: dict[str, Any]
) -> None:
    desk.world.secrets.add_secret(HOME, "a", **{"tags": {"team": "payments"}, **fields})
    old = policy_file(tmp_path, POLICY.replace('"payments"', '"others"'))
    result = desk.run("plan", "--against", old)
    assert "0 secrets to gain 0 replicas" in result.stdout


def test_two_policies_are_compared_by_who_gains_or_loses_what(desk: Desk, tmp_path: Path) -> None:
    world = desk.world
    world.add("gains", environment="prod", criticality="high")
    world.add("loses", environment="test")
    world.add("key", "us-west-2", team="payments")
    world.add("wrong", "eu-west-1", residency="eu")
    world.add("mended", "dr2")
    world.add("same", "eu-west-1")
    old = POLICY.replace('environment = "prod", criticality = ["high", "critical"]', 'environment = "test"')
    old = (
        old.replace("alias/payments", "alias/old")
        .replace('["europe"]', '["dr"]')
        .replace("dr =", "dr2 = 1\ndr =")
    )
    old = old.replace("dr2 = 1\n", "")
    new = POLICY.replace("[groups]\n", '[groups]\ndr2 = ["us-west-2"]\n')
    desk.world.app.settings.policy_file.write_text(new)
    result = desk.run("plan", "--against", policy_file(tmp_path, old), "--detailed-exitcode")
    assert result.exit_code == 2
    rows = [line.split("\t")[1:] for line in result.stdout.splitlines() if "\t" in line][1:]
    assert [row[:4] for row in rows] == [
        ["gains", "+ gains", "us-west-2", "aws/secretsmanager"],
        ["key", "~ other key", "us-west-2", "alias/payments"],
        ["loses", "- loses", "us-west-2", "aws/secretsmanager"],
        ["mended", "+ gains", "us-west-2", "aws/secretsmanager"],
        ["mended", "* solved", "dr2", ""],
        ["wrong", "+ gains", "eu-west-1", "aws/secretsmanager"],
        ["wrong", "* solved", "eu-west-1", ""],
    ]
    assert result.stdout.splitlines()[-2:] == [
        (
            "Change: 3 secrets to gain 3 replicas, 1 to lose 1, 1 to want another key, 0 new problems, 2 "
            "solved, 1 unchanged"
        ),
        (
            "Cost: $0.80 a month for replicas ($0.40 each, list price), once all are made and those that "
            "are lost are removed."
        ),
    ]
    assert not world.calls("DescribeSecret")


def test_the_same_policy_changes_nothing(desk: Desk) -> None:
    desk.world.add("a", "eu-west-1 eu-wst-1")
    same = str(desk.world.app.settings.policy_file)
    result = desk.run("plan", "--against", same, "--detailed-exitcode", "--json")
    assert result.exit_code == 0
    assert json.loads(result.stdout)["secrets"] == []


# What goes wrong.


def test_a_secret_that_may_not_be_described_does_not_hide_the_others(desk: Desk) -> None:
    for name in "abc":
        desk.world.add(name, "eu-west-1")
    desk.world.secrets.faults = lambda call, _: (
        ACCESS_DENIED if (call.operation, call.secret) == ("DescribeSecret", "b") else None
    )
    result = desk.run("plan")
    assert result.exit_code == 1
    assert "2 to add" in result.stdout
    assert "1 secret could not be read (b): allow secretsmanager:DescribeSecret" in result.stderr


@pytest.mark.parametrize(
    ("action", "said"),
    [
        pytest.param(
            "cloudformation:DescribeStacks", "cloudformation:DescribeStacks is missing", id="the stack"
        ),
        pytest.param(
            "lambda:GetFunctionConfiguration", "lambda:GetFunctionConfiguration is missing", id="the switches"
        ),
        pytest.param("secretsmanager:ListSecrets", "secretsmanager:ListSecrets is missing", id="the secrets"),
    ],
)
def test_a_missing_permission_is_named_with_what_to_do(desk: Desk, action: str, said: str) -> None:
    desk.account.denied.add(action)
    result = desk.run("plan")
    assert (result.exit_code, result.stdout) == (1, "")
    assert said in result.stderr
    assert "allow it for the role or user that runs this" in result.stderr


def test_a_secret_deleted_since_the_listing_is_no_error(desk: Desk) -> None:
    desk.world.add("a", "eu-west-1")
    desk.world.add("b", "eu-west-1").visible_at = desk.world.clock() + 1000
    result = desk.run("plan")
    assert result.exit_code == 0
    assert "1 to add" in result.stdout


def test_orphaned_replicas_are_planned_as_drift_and_costed(desk: Desk) -> None:
    world = desk.world
    world.converge("left", "eu-west-1 us-west-2")
    for region in (HOME, "eu-west-1", "us-west-2"):
        del world.secrets.secret(region, "left").tags["replicate-to"]
    assert [row[1:4] for row in desk.rows("plan")] == [
        ["left", "? drift", "eu-west-1"],
        ["left", "? drift", "us-west-2"],
    ]
    assert desk.run("plan").stdout.splitlines()[-1].endswith(" 2 orphaned replicas: $0.80 a month.")
    costs = json.loads(desk.run("plan", "--json").stdout)["cost_dollars_per_month"]
    assert costs["orphaned_replicas"] == 0.8

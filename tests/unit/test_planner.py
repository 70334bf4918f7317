"""The plan: too little in it leaves a Region without its secret, too much deletes one."""

from collections.abc import Iterable
from dataclasses import replace
from itertools import permutations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from secret_replicator.models import Desired, DesiredReplica, Drift, Plan, Problem, Replica, Secret
from secret_replicator.planner import belongs_to_another_account, best_by_region, decision, is_selected, plan
from secret_replicator.policy import parse_policy
from secret_replicator.settings import read_settings

IRELAND, FRANKFURT, OREGON = "eu-west-1", "eu-central-1", "us-west-2"
KEY_ID = "1234abcd-12ab-34cd-56ef-1234567890ab"
KEY_ARN = f"arn:aws:kms:{IRELAND}:123456789012:key/{KEY_ID}"
DAY = 24 * 60 * 60
NOW = 20_000 * DAY
BEFORE = {True: NOW, False: None}
"""By whether pruning is on: since when nobody may have read what is removed."""
PROBLEM = Problem("eu-west-9", "tag replicate-to asks for eu-west-9", "correct the tag")


def desired(*replicas: str | DesiredReplica, problems: tuple[Problem, ...] = ()) -> Desired:
    wanted = (DesiredReplica(replica) if isinstance(replica, str) else replica for replica in replicas)
    return Desired(selected=True, replicas=tuple(wanted), problems=problems)


def in_sync(region: str, kms_key_id: str = "") -> Replica:
    return Replica(region, "InSync", "", kms_key_id)


def planned(wanted: Desired, *actual: Replica, prune: bool = False) -> Plan:
    return plan(wanted, actual, prune_before=BEFORE[prune])


@pytest.mark.parametrize(
    ("wanted", "actual", "expected"),
    [
        pytest.param(desired(), [], Plan(), id="nothing wanted, nothing there"),
        pytest.param(desired(IRELAND), [in_sync(IRELAND)], Plan(), id="a converged secret needs no change"),
        pytest.param(
            desired(IRELAND), [], Plan(add=(DesiredReplica(IRELAND),)), id="a missing Region is added"
        ),
        pytest.param(
            desired(DesiredReplica(IRELAND, "alias/x")),
            [],
            Plan(add=(DesiredReplica(IRELAND, "alias/x"),)),
            id="a missing Region is added with its key",
        ),
        pytest.param(
            desired(OREGON, FRANKFURT, IRELAND),
            [],
            Plan(add=(DesiredReplica(FRANKFURT), DesiredReplica(IRELAND), DesiredReplica(OREGON))),
            id="all missing Regions, in order",
        ),
        pytest.param(
            desired(DesiredReplica(IRELAND, "alias/x")),
            [Replica(IRELAND, "Failed", "taken", "alias/x")],
            Plan(retry=(DesiredReplica(IRELAND, "alias/x"),)),
            id="a failed Region is tried again with its key",
        ),
        pytest.param(
            desired(IRELAND),
            [Replica(IRELAND, "InProgress", "soon")],
            Plan(wait=(Replica(IRELAND, "InProgress", "soon"),)),
            id="a Region in progress is waited for",
        ),
        *(
            pytest.param(
                desired(IRELAND),
                [Replica(IRELAND, status)],
                Plan(wait=(Replica(IRELAND, status),)),
                id=f"the status {status!r} is waited for: it is neither failed nor in sync",
            )
            for status in ("Pending", "Detached", "insync", "FAILED", "Something New", "")
        ),
        pytest.param(
            desired(IRELAND, OREGON, FRANKFURT),
            [in_sync(IRELAND), Replica(OREGON, "Failed")],
            Plan(add=(DesiredReplica(FRANKFURT),), retry=(DesiredReplica(OREGON),)),
            id="each Region gets what it needs",
        ),
    ],
)
def test_wanted_regions(wanted: Desired, actual: list[Replica], expected: Plan) -> None:
    assert planned(wanted, *actual) == expected
    assert planned(wanted, *actual, prune=True) == expected


UNWANTED = (Drift(OREGON, "unwanted"),)


def test_an_unwanted_replica_is_reported_and_kept_while_prune_is_off() -> None:
    assert planned(desired(IRELAND), in_sync(IRELAND), in_sync(OREGON)) == Plan(drift=UNWANTED)


@pytest.mark.parametrize("status", ["InSync", "Failed", "InProgress", "Something New"])
def test_an_unwanted_replica_is_removed_with_prune_whatever_its_status(status: str) -> None:
    wanted = desired(IRELAND)
    assert planned(wanted, in_sync(IRELAND), Replica(OREGON, status), prune=True) == Plan(remove=(OREGON,))


def test_the_tag_none_and_prune_remove_every_replica() -> None:
    assert planned(desired(), in_sync(OREGON), in_sync(IRELAND), prune=True) == Plan(remove=(IRELAND, OREGON))


def test_a_secret_that_is_not_selected_keeps_its_replicas_even_with_prune() -> None:
    wanted = Desired(selected=False)
    assert planned(wanted, in_sync(OREGON), prune=True) == Plan(drift=UNWANTED)


def test_nothing_is_removed_while_the_tag_has_a_problem() -> None:
    """A misspelled Region must not cost the replica that the right spelling meant."""
    wanted = desired(IRELAND, problems=(PROBLEM,))
    assert planned(wanted, in_sync(IRELAND), in_sync(OREGON), prune=True) == Plan(drift=UNWANTED)


@pytest.mark.parametrize(
    ("last_accessed", "removed"),
    [
        pytest.param(0, True, id="never read"),
        pytest.param(NOW - 30 * DAY, True, id="last read long ago"),
        pytest.param(NOW - DAY - 1, True, id="its last day of reading is over"),
        pytest.param(NOW - DAY, False, id="it may have been read in the last second of that day"),
        pytest.param(NOW - 1, False, id="read on the day in question"),
        pytest.param(NOW + DAY, False, id="read since"),
    ],
)
def test_what_was_read_lately_is_kept_and_reported(last_accessed: float, *, removed: bool) -> None:
    """AWS tells only the day: a replica may have been read until the end of it."""
    there = Replica(OREGON, "InSync", last_accessed=last_accessed)
    expected = Plan(remove=(OREGON,)) if removed else Plan(drift=(Drift(OREGON, "recently_read"),))
    assert planned(desired(), there, prune=True) == expected


def test_a_region_listed_twice_was_read_if_either_entry_says_so() -> None:
    actual = [in_sync(OREGON), Replica(OREGON, "Failed", last_accessed=NOW)]
    assert not planned(desired(), *actual, prune=True).remove


def test_problems_do_not_stop_what_is_clearly_wanted() -> None:
    assert planned(desired(IRELAND, problems=(PROBLEM,))).add == (DesiredReplica(IRELAND),)


@pytest.mark.parametrize(
    ("wanted", "actual", "drifts"),
    [
        pytest.param("", "", False, id="no key, none reported"),
        pytest.param("", "alias/aws/secretsmanager", False, id="no key is the default key"),
        pytest.param("alias/aws/secretsmanager", "", False, id="the default key is no key"),
        pytest.param("alias/x", "alias/x", False, id="the same alias"),
        pytest.param("alias/x", "alias/y", True, id="another alias"),
        pytest.param("alias/x", "", True, id="an alias, but the default key is there"),
        pytest.param("", "alias/x", True, id="the default key, but an alias is there"),
        pytest.param("", KEY_ARN, True, id="the default key, but a key is there"),
        pytest.param(KEY_ID, KEY_ARN, False, id="a key's id and its ARN"),
        pytest.param(KEY_ARN, KEY_ID, False, id="a key's ARN and its id"),
        pytest.param(KEY_ID, "mrk-1234", True, id="another key"),
        pytest.param(KEY_ID, "", True, id="a key, but the default key is there"),
        pytest.param("alias/x", f"arn:aws:kms:{IRELAND}:123456789012:alias/x", False, id="an alias's ARN"),
        pytest.param("alias/x", KEY_ARN, False, id="an alias may be that key: nobody can tell"),
        pytest.param(KEY_ID, "alias/x", False, id="a key may have that alias: nobody can tell"),
    ],
)
@pytest.mark.parametrize("prune", [True, False])
def test_another_key_is_reported_as_drift_and_nothing_is_done(
    wanted: str, actual: str, *, drifts: bool, prune: bool
) -> None:
    wanted_replica = DesiredReplica(IRELAND, wanted)
    expected = (Drift(IRELAND, "kms_key"),) if drifts else ()
    assert planned(desired(wanted_replica), in_sync(IRELAND, actual), prune=prune) == Plan(drift=expected)


@pytest.mark.parametrize(
    ("statuses", "best"),
    [
        pytest.param(["InSync", "Failed"], "InSync", id="in sync before failed"),
        pytest.param(["InSync", "InProgress"], "InSync", id="in sync before in progress"),
        pytest.param(["InProgress", "Failed"], "InProgress", id="in progress before failed"),
        pytest.param(["Something New", "Failed"], "Something New", id="an unknown status before failed"),
        pytest.param(["InSync", "Failed", "InProgress", "InSync"], "InSync", id="of four the best"),
    ],
)
def test_a_region_listed_twice_counts_once_with_its_best_status(statuses: list[str], best: str) -> None:
    for order in permutations(statuses):
        found = best_by_region(Replica(IRELAND, status) for status in order)
        assert {region: replica.status for region, replica in found.items()} == {IRELAND: best}


def test_a_region_listed_twice_is_removed_once() -> None:
    actual = [in_sync(OREGON), Replica(OREGON, "Failed")]
    assert planned(desired(), *actual, prune=True) == Plan(remove=(OREGON,))


@pytest.mark.parametrize(
    ("todo", "changes"),
    [
        pytest.param(Plan(), False, id="nothing"),
        pytest.param(Plan(add=(DesiredReplica(IRELAND),)), True, id="to add"),
        pytest.param(Plan(retry=(DesiredReplica(IRELAND),)), True, id="to try again"),
        pytest.param(Plan(remove=(IRELAND,)), True, id="to remove"),
        pytest.param(Plan(wait=(Replica(IRELAND, "InProgress"),)), False, id="to wait for"),
        pytest.param(Plan(drift=UNWANTED), False, id="to report"),
    ],
)
def test_a_plan_knows_whether_it_changes_anything(todo: Plan, *, changes: bool) -> None:
    assert todo.changes is changes


def test_a_plan_names_the_regions_of_each_part_that_is_not_empty() -> None:
    todo = Plan(
        add=(DesiredReplica(IRELAND),),
        retry=(DesiredReplica(FRANKFURT, "alias/x"),),
        wait=(Replica("sa-east-1", "InProgress", "a message of AWS"),),
        remove=("us-east-2",),
        drift=UNWANTED,
    )
    assert todo.regions() == {
        "add": [IRELAND],
        "retry": [FRANKFURT],
        "wait": ["sa-east-1"],
        "remove": ["us-east-2"],
        "drift": [f"{OREGON} unwanted"],
    }
    assert Plan(remove=("us-east-2",)).regions() == {"remove": ["us-east-2"]}
    assert Plan().regions() == {}


# --- properties

REGIONS = st.sampled_from([IRELAND, FRANKFURT, OREGON, "sa-east-1"])
KEYS = st.sampled_from(["", "alias/x", "alias/aws/secretsmanager", KEY_ID, KEY_ARN])
STATUSES = st.sampled_from(["InSync", "Failed", "InProgress", "Pending", "Something New", ""])
DESIRED = st.builds(
    lambda selected, replicas, problems: Desired(
        selected, replicas=tuple(replicas) if selected else (), problems=tuple(problems)
    ),
    st.booleans(),
    st.lists(st.builds(DesiredReplica, REGIONS, KEYS), unique_by=lambda replica: replica.region),
    st.lists(st.just(PROBLEM), max_size=1),
)
READ = st.sampled_from([0, NOW - 9 * DAY, NOW])
ACTUAL = st.lists(st.builds(Replica, REGIONS, STATUSES, st.sampled_from(["", "why"]), KEYS, READ), max_size=6)


def applied(todo: Plan, actual: Iterable[Replica]) -> list[Replica]:
    """Return what AWS reports when it has done, at its leisure, what the plan says."""
    asked_for = {replica.region: replica.kms_key_id for replica in todo.add + todo.retry}
    read = {
        replica.region: replica.last_accessed
        for replica in sorted(actual, key=lambda found: found.last_accessed)
    }
    after = [
        replace(replica, status="InSync", message="", last_accessed=read[replica.region])
        for replica in best_by_region(actual).values()
        if replica.region not in {*asked_for, *todo.remove}
    ]
    return [*after, *(in_sync(region, key) for region, key in asked_for.items())]


@given(wanted=DESIRED, actual=ACTUAL, prune=st.booleans())
def test_when_a_plan_was_applied_the_next_plan_has_nothing_to_do(
    wanted: Desired, actual: list[Replica], *, prune: bool
) -> None:
    todo = plan(wanted, actual, prune_before=BEFORE[prune])
    after = plan(wanted, applied(todo, actual), prune_before=BEFORE[prune])
    replaced = {replica.region for replica in todo.retry}
    assert after == Plan(drift=tuple(drift for drift in todo.drift if drift.region not in replaced))


@given(wanted=DESIRED, actual=ACTUAL, prune=st.booleans(), data=st.data())
def test_the_order_of_what_is_wanted_and_of_what_is_there_does_not_matter(
    wanted: Desired, actual: list[Replica], data: st.DataObject, *, prune: bool
) -> None:
    other = replace(wanted, replicas=tuple(data.draw(st.permutations(wanted.replicas))))
    again = plan(other, data.draw(st.permutations(actual)), prune_before=BEFORE[prune])
    assert again == plan(wanted, actual, prune_before=BEFORE[prune])


@given(wanted=DESIRED, actual=ACTUAL, prune=st.booleans())
def test_only_what_is_there_unwanted_and_allowed_to_go_is_removed(
    wanted: Desired, actual: list[Replica], *, prune: bool
) -> None:
    todo = plan(wanted, actual, prune_before=BEFORE[prune])
    there = {replica.region for replica in actual}
    unwanted = there - {replica.region for replica in wanted.replicas}
    may_go = prune and wanted.selected and not wanted.problems
    read = {replica.region for replica in actual if replica.last_accessed == NOW}
    assert todo.remove == (tuple(sorted(unwanted - read)) if may_go else ())
    kept = {drift.region for drift in todo.drift if drift.kind in ("unwanted", "recently_read")}
    assert kept == unwanted - {*todo.remove}
    assert not {drift.region for drift in todo.drift} & {*todo.remove}


@given(wanted=DESIRED, actual=ACTUAL, prune=st.booleans())
def test_every_wanted_region_is_in_sync_or_in_exactly_one_part_of_the_plan(
    wanted: Desired, actual: list[Replica], *, prune: bool
) -> None:
    """A Region in no part would count as converged; in two parts it would be replicated twice."""
    todo = plan(wanted, actual, prune_before=BEFORE[prune])
    parts = [replica.region for replica in (*todo.add, *todo.retry, *todo.wait)]
    synced = {replica.region for replica in actual if replica.status == "InSync"}
    assert sorted(parts) == sorted({replica.region for replica in wanted.replicas} - synced)
    assert not {*parts} & {*todo.remove}
    for part in (todo.add, todo.retry, todo.wait, todo.remove, todo.drift):
        assert [*part] == sorted(part)


# --- what is to be done about a secret

POLICY = parse_policy(
    """
[tag]
key = "replicate-to"
[[rules]]
match = { team = "payments" }
regions = ["us-west-2"]
overwrite = true
"""
)
SETTINGS = read_settings(
    {
        "AWS_REGION": "us-east-1",
        "ALLOWED_REGIONS": "eu-west-1,us-west-2",
        "QUEUE_URL": "https://sqs.us-east-1.amazonaws.com/123456789012/ReplicationQueue",
        "DEAD_LETTER_QUEUE_URL": "https://sqs.us-east-1.amazonaws.com/123456789012/DeadLetterQueue",
    }
)
ARN = "arn:aws:secretsmanager:us-east-1:123456789012:secret:db-AbCdEf"


@pytest.mark.parametrize(
    ("secret", "skip"),
    [
        pytest.param(Secret(ARN, "db", {"replicate-to": "all"}), "", id="a primary"),
        pytest.param(
            Secret(ARN, "db", {"replicate-to": "all"}, cross_account_replica=True),
            "replica",
            id="a replica of another account's primary",
        ),
        pytest.param(
            Secret(ARN.replace("123456789012", "999999999999"), "db", {"replicate-to": "all"}),
            "another_account",
            id="a secret of another account",
        ),
        pytest.param(
            Secret(ARN, "db", {"team": "payments"}, owning_service="rds"),
            "managed_by_service",
            id="a service's secret that only a rule asks for",
        ),
        pytest.param(
            Secret(ARN, "db", {"team": "payments", "replicate-to": "eu-west-1"}, owning_service="rds"),
            "",
            id="a service's secret that the tag asks for",
        ),
    ],
)
def test_what_is_not_ours_to_replicate_is_skipped(secret: Secret, skip: str) -> None:
    assert decision(secret, POLICY, SETTINGS, NOW).skip == skip
    assert is_selected(secret, POLICY, SETTINGS) == (skip in ("", "managed_by_service"))


@pytest.mark.parametrize("allowed", [False, True])
def test_a_plan_overwrites_only_if_the_operator_lets_it(*, allowed: bool) -> None:
    secret = Secret(ARN, "db", {"team": "payments", "replicate-to": "eu-west-1"})
    found = decision(secret, POLICY, replace(SETTINGS, allow_overwrite=allowed), NOW)
    assert {want.region: want.overwrite for want in found.plan.add} == {
        "eu-west-1": False,
        "us-west-2": allowed,
    }
    announced = "add, may overwrite" if allowed else "add"
    assert "us-west-2" in found.plan.regions()[announced]


@pytest.mark.parametrize(
    ("region", "queue_url", "arn", "another"),
    [
        pytest.param("us-east-1", None, "orders/db", False, id="a name"),
        pytest.param("us-east-1", None, ARN, False, id="an own secret"),
        pytest.param("us-east-1", None, ARN.replace("arn:aws:", "arn:aws-cn:"), True, id="a partition"),
        pytest.param("cn-north-1", None, ARN.replace("arn:aws:", "arn:aws-cn:"), False, id="China"),
        pytest.param("us-gov-west-1", None, ARN.replace("arn:aws:", "arn:aws-us-gov:"), False, id="GovCloud"),
        pytest.param("ab-new-west-1", None, ARN, False, id="a Region of a form that nobody knows yet"),
        pytest.param("us-east-1", "not deployed", ARN.replace("12345", "99999"), False, id="no stack"),
    ],
)
def test_what_is_not_known_of_the_stack_makes_no_secret_another_accounts(
    region: str, queue_url: str | None, arn: str, *, another: bool
) -> None:
    """Skipped wrongly, no secret of a stack would ever be replicated."""
    settings = replace(SETTINGS, region=region, queue_url=queue_url or SETTINGS.queue_url)
    assert belongs_to_another_account(arn, settings) is another

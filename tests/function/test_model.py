"""Whatever users, AWS, operators and queues do, in any order: no message is lost, no dead letter is false.

Hypothesis plays the world. Every step is judged by what the fakes truly hold and by an oracle of its own
(tests/support/model/oracle.py), over all the moments between two AWS calls of the batch. What must be zero:

Lost, or falsely converged: a message left the queue, no dead letter with its body was written, and at no
moment of its batch was its secret converged (each wanted Region InSync, nothing wrong with its tags, and with
prune on no other Region there but those that were read lately), nor done but for Regions that only rules ask
for and where the name is taken (after all attempts), nor rightly skipped (gone, a replica, scheduled for
deletion, a service's and not asked for by its own tag, not selected, or only looked at in plan mode). An
event that a call of the function's own may have caused may also go if another message, that may call, is in
the queue, or has left it rightly after an attempt that began later than the event was sent, or if a dead
letter about the secret was written by such an attempt. For a
sweep: a selected secret that AWS listed was not enqueued. And in the end, when faults have stopped and a
sweep has been worked off: a selected secret that is neither converged nor in a dead letter of that sweep.

Falsely dead-lettered: a dead letter whose reason was not true in its batch.
- MalformedMessage: the body names no secret.
- AccessDenied: AWS denied a call about the secret.
- RegionProblem: the wanted Regions are InSync, and FailedRegions are just those that are wrong in its tags.
- Refused: AWS refused a call about it, it was received twice, and it is still not as wanted.
- AttemptsUsedUp: it was received so often, and it was not as wanted, or could not be looked at.
And in the end: a dead letter of that sweep whose FailedRegions are not just those that the secret
lacks, or that names a Region that could be had; or one that comes back after a redrive though its secret
has all it wants.

MODEL_EXAMPLES=5000 makes it a long, random run, which also looks for the smallest failing example.
"""

import io
import json
import logging
import os
from collections import Counter, defaultdict
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager, redirect_stdout, suppress
from dataclasses import dataclass, field, fields, replace
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, Phase, settings
from hypothesis import strategies as st
from hypothesis.stateful import (
    RuleBasedStateMachine,
    initialize,
    precondition,
    rule,
    run_state_machine_as_test,
)

from local.secrets_manager import transport
from local.secrets_manager.model import (
    ACCESS_DENIED,
    CUT_AFTER_EFFECT,
    CUT_BEFORE_EFFECT,
    DAY,
    SERVER_ERROR,
    SERVER_ERROR_AFTER_EFFECT,
    THROTTLED,
    AwsError,
    Fault,
    Outcome,
    Params,
)
from local.secrets_manager.service import METERED, VALUE_READS
from local.secrets_manager.worlds import Repeat
from secret_replicator.app import logger, make_app
from secret_replicator.budget import Budget
from tests.support.fakes.queues import QueuedMessage
from tests.support.model.conductor import ConductedApp, ConductedQueue, Conductor, Instance
from tests.support.model.events import ECHO, MALFORMED, MARK, SHAPES, names_the_name
from tests.support.model.one_by_one import OneByOne
from tests.support.model.oracle import ALLOWED, HOME, PAYMENTS_KEY, TAG, Snapshot, snapshot, wish
from tests.support.model.queues import ModelQueues
from tests.support.world import make_world

POWERTOOLS = logging.getLogger("secret-replicator")
EXAMPLES = int(os.environ.get("MODEL_EXAMPLES", "0"))
MAX_ATTEMPTS = 4
WRITES_PER_SECOND = 4
INSTANCES = 2
SWEEP = '{"sweep": {}}'
ATTRIBUTES = {"ErrorType", "ErrorMessage", "SecretArn", "FailedRegions", "Attempts", "FirstReceived"}
REFUSALS = {"InvalidParameterException", "InvalidRequestException"}

SECRETS = ["a", "b/with-suffix", "c"]
NAMES = st.sampled_from(SECRETS)
REGIONS = st.sampled_from(ALLOWED)
SHAPE = st.sampled_from(sorted(SHAPES))
GOOD_VALUES = [
    "eu-west-1",
    "us-west-2",
    "dr",
    "all",
    "ALL",
    "eu-west-1 dr",
    "eu-west-1 ap-southeast-2",
    "none",
]
ODD_VALUES = ["Europe", "eu-west-1,eu-wst-1", "mars", "", "none dr", "us-east-1", "all us-east-1"]
RULE_TAGS = st.fixed_dictionaries(
    {},
    optional={
        "environment": st.just("prod"),
        "criticality": st.sampled_from(["high", "low"]),
        "residency": st.just("eu"),
        "team": st.just("payments"),
    },
)
TAGS = st.one_of(
    st.fixed_dictionaries({TAG: st.sampled_from(GOOD_VALUES)}),
    st.fixed_dictionaries({TAG: st.sampled_from(GOOD_VALUES), "team": st.just("payments")}),
    st.builds(
        lambda value, others: {TAG: value, **others}, st.sampled_from(GOOD_VALUES + ODD_VALUES), RULE_TAGS
    ),
    RULE_TAGS,
)
BEGINNINGS = st.sampled_from(
    [
        "create",
        "create",
        "create replicated",
        "create in a taken name",
        "create elsewhere",
        "create as managed",
    ]
)
ACTIONS = st.sampled_from(
    [
        "create",
        "tag",
        "untag",
        "rotate",
        "take the name",
        "promote the replica",
        "remove replicas",
        "delete",
        "restore",
        "delete for good",
        "create replicated",
        "create as managed",
        "create elsewhere",
    ]
)
MISHAPS = st.sampled_from(
    [
        "fails once",
        "fails for good",
        "fails with a new status",
        "heals",
        "is disabled or enabled",
        "is listed late",
        "has its key Disabled",
        "has its key Enabled",
        "is read",
    ]
)
CALLS = st.sampled_from(
    ["DescribeSecret", "ReplicateSecretToRegions", "RemoveRegionsFromReplication", "ListSecrets"]
)
FAULTS = st.sampled_from(
    [
        THROTTLED,
        SERVER_ERROR,
        SERVER_ERROR_AFTER_EFFECT,
        CUT_BEFORE_EFFECT,
        CUT_AFTER_EFFECT,
        ACCESS_DENIED,
        Fault("NobodyKnowsThisException", "?"),
        Fault(delay_seconds=4),
    ]
)
QUEUE_FAULTS = st.sampled_from(
    [
        f"{operation}{when}"
        for operation in ("SendMessage", "SendMessageBatch", "ChangeMessageVisibilityBatch")
        for when in ("", " after effect")
    ]
)


@dataclass(frozen=True)
class Action:
    """What a user does to a secret."""

    deed: str
    name: str
    region: str
    tags: Mapping[str, str]


A_USER = st.builds(Action, ACTIONS, NAMES, REGIONS, TAGS)
NOTICE = st.sampled_from(["once", "once", "twice", "late", "never"])
WAITS = st.none() | st.none() | st.none() | st.sampled_from([0, 1, 15, 400, 90_000])
"""Seconds, or until the next message is visible."""
PLACES = st.lists(st.integers(0, 9), max_size=4)
CHOICES = st.lists(st.integers(0, 3), max_size=24)


@dataclass
class Batch:
    """What is known of the batches that are played at the same time."""

    moments: list[dict[str, Snapshot]] = field(default_factory=list)
    errors: dict[str, set[str]] = field(default_factory=lambda: defaultdict(set))
    listed: dict[object, set[str]] = field(default_factory=dict)
    enqueued: dict[object, set[str]] = field(default_factory=lambda: defaultdict(set))
    disturbed: bool = False

    def snapshots(self, target: str) -> list[Snapshot | None]:
        return [_find(moment, target) for moment in self.moments]


def _find(moment: Mapping[str, Snapshot], target: str) -> Snapshot | None:
    return next((found for found in moment.values() if target in (found.arn, found.name)), None)


class Model(RuleBasedStateMachine):
    """Everything that can happen, and what must be true after it."""

    def __init__(self, folder: Path, repeat: Repeat) -> None:
        super().__init__()
        self.repeat = repeat
        self.world = make_world(folder, repeat)
        self.clock, self.secrets = self.world.clock, self.world.secrets
        self.clock.now = 1_800_000_000.0
        self.conductor = Conductor(self.clock)
        self.secrets._sleep = self.conductor.pause
        self.queues = ModelQueues(self.clock, self.conductor.pause, self._enqueued, self._not_sent)
        self.targets: dict[str, str] = {}
        self.echoes: set[str] = set()
        self.ended: dict[str, float] = {}
        """When an attempt began that ended a message which may call, or dead-lettered it, by name and ARN."""
        self.late: list[str] = []
        self.lost_for_good: set[tuple[str, str]] = set()
        self.writes: dict[int, list[float]] = defaultdict(list)
        self.wrong: list[str] = []
        self.deployed, self.broken = False, False
        self.listed_late = False
        self.batch = Batch()
        self.count = 0
        self.output = io.StringIO()

    # The operator

    @initialize(
        prune=st.booleans(),
        overwrite=st.booleans(),
        mode=st.sampled_from(["apply", "apply", "apply", "plan"]),
        seconds_in_progress=st.sampled_from([0, 3, 20]),
        seconds_until_visible=st.sampled_from([0, 0, 12]),
        tagged=st.lists(st.tuples(BEGINNINGS, TAGS), min_size=2, max_size=3),
        mishaps=st.lists(st.tuples(NAMES, REGIONS, MISHAPS), max_size=3),
    )
    def deploy(  # noqa: PLR0913 - what an operator chooses, and what they find
        self,
        *,
        prune: bool,
        overwrite: bool,
        mode: str,
        seconds_in_progress: float,
        seconds_until_visible: float,
        tagged: list[tuple[str, Mapping[str, str]]],
        mishaps: Sequence[tuple[str, str, str]] = (),
    ) -> None:
        self.settings = replace(
            self.world.app.settings,
            allowed_regions=ALLOWED,
            mode=mode,
            prune_replicas=prune,
            allow_overwrite=overwrite,
            max_attempts=MAX_ATTEMPTS,
            writes_per_second=WRITES_PER_SECOND,
            maximum_concurrency=INSTANCES,
        )
        self.deployed = True
        self.apps = [self._instance(number) for number in range(INSTANCES)]
        self.secrets.set_key("us-west-2", PAYMENTS_KEY)
        self.secrets.worlds.seconds_in_progress = seconds_in_progress
        self.secrets.seconds_until_visible = seconds_until_visible
        for name, region, how in mishaps:
            self.aws_acts(name, region, how)
        for name, shape, (deed, tags) in zip(SECRETS, sorted(SHAPES), tagged, strict=False):
            if deed == "create in a taken name":
                self._act(Action("take the name", name, "us-west-2", tags))
            self.a_user_acts(
                Action(deed.removesuffix(" in a taken name"), name, "us-west-2", tags), shape, "once"
            )

    def _instance(self, number: int) -> ConductedApp:
        budget = Budget(WRITES_PER_SECOND / INSTANCES, self.clock, self.conductor.pause, self.clock)
        app = make_app(self.settings, transport.client_maker(self._answer), self.queues, budget, self.clock)
        queue = ConductedQueue(self.queues, app.settings.queue_url, app.settings.dead_letter_queue_url)
        parts = {part.name: getattr(app, part.name) for part in fields(app)}
        settler = OneByOne(queue, budget.clock)
        parts |= {"settler": settler, "sweeper": replace(app.sweeper, queue=queue)}
        return ConductedApp(**parts, conductor=self.conductor, number=number)

    # Users

    @rule(name=NAMES, tags=TAGS, shape=SHAPE, notice=NOTICE)
    def a_user_retags(self, name: str, tags: Mapping[str, str], shape: str, notice: str) -> None:
        self.a_user_acts(Action("replace tags", name, HOME, tags), shape, notice)

    @rule(action=A_USER, shape=SHAPE, notice=NOTICE)
    def a_user_acts(self, action: Action, shape: str, notice: str) -> None:
        """Do it, if AWS lets them, and tell the queue: CloudTrail repeats, delays and forgets."""
        self._act(action)
        secret = next((s for s in self._snapshot().values() if s.name == action.name), None)
        if secret is None or notice == "never":
            return
        for _ in range(2 if notice == "twice" else 1):
            number = self._next()
            body = SHAPES[shape](number, secret.name, secret.arn)
            self.echoes |= {f"event-{number}"} if ECHO in body else set()
            self.targets[body] = secret.name if names_the_name(body) else secret.arn
            if notice == "late":
                self.late.append(body)
            else:
                self.queues.send(body)

    def _act(self, action: Action) -> None:
        name, region = action.name, action.region
        tags = [{"Key": key, "Value": value} for key, value in action.tags.items()]
        value = f"{MARK} {self._next()}"
        create = ("CreateSecret", {"Name": name, "SecretString": value, "Tags": tags})
        own_replicas = [*self._replicas(name)]
        calls: Mapping[str, list[tuple[str, str, Params]]] = {
            "create": [(HOME, *create)],
            "create replicated": [
                (HOME, create[0], {**create[1], "AddReplicaRegions": [{"Region": "ap-southeast-2"}]})
            ],
            "create as managed": [],
            "create elsewhere": [
                (region, *create),
                (
                    region,
                    "ReplicateSecretToRegions",
                    {"SecretId": name, "AddReplicaRegions": [{"Region": HOME}]},
                ),
            ],
            "tag": [(HOME, "TagResource", {"SecretId": name, "Tags": tags})],
            "replace tags": [
                (
                    HOME,
                    "UntagResource",
                    {"SecretId": name, "TagKeys": [TAG, "environment", "residency", "team"]},
                ),
                (HOME, "TagResource", {"SecretId": name, "Tags": tags}),
            ],
            "untag": [(HOME, "UntagResource", {"SecretId": name, "TagKeys": [TAG]})],
            "rotate": [(HOME, "PutSecretValue", {"SecretId": name, "SecretString": value})],
            "remove replicas": [
                (
                    HOME,
                    "RemoveRegionsFromReplication",
                    {"SecretId": name, "RemoveReplicaRegions": own_replicas},
                )
            ],
            "delete": [(HOME, "DeleteSecret", {"SecretId": name})],
            "delete for good": [
                (HOME, "DeleteSecret", {"SecretId": name, "ForceDeleteWithoutRecovery": True})
            ],
            "restore": [(HOME, "RestoreSecret", {"SecretId": name})],
            "take the name": [(region, *create)],
            "promote the replica": [(region, "StopReplicationToReplica", {"SecretId": name})],
        }
        if action.deed.startswith("delete"):
            calls[action.deed][:0] = calls["remove replicas"]
        if action.deed == "create as managed" and name not in self.secrets.names(HOME):
            self.secrets.add_secret(HOME, name, value=value, tags=dict(action.tags), owning_service="rds")
        for place, operation, params in calls[action.deed]:
            with suppress(AwsError):
                self.secrets.handle(operation, place, params)

    def _replicas(self, name: str) -> Mapping[str, object]:
        return self.secrets.secret(HOME, name).replicas if name in self.secrets.names(HOME) else {}

    # AWS

    @rule(name=NAMES, region=REGIONS, how=MISHAPS)
    def aws_acts(self, name: str, region: str, how: str) -> None:
        outcomes = {
            "fails once": Outcome("Failed", f"no luck in {region}", attempts=1),
            "fails for good": Outcome("Failed", f"no hope in {region}"),
            "fails with a new status": Outcome("Pending", attempts=1),
            "heals": Outcome(),
        }
        if how in outcomes:
            self.secrets.set_outcome(name, region, outcomes[how])
            self.lost_for_good -= {(name, region)}
            self.lost_for_good |= {(name, region)} if how == "fails for good" else set()
        elif how == "is read":
            if region in self._replicas(name):
                self.secrets.secret(HOME, name).replicas[region].last_accessed = self.clock() // DAY * DAY
        elif how == "is listed late":
            self.listed_late = True
        elif how == "is disabled or enabled":
            self.secrets.regions ^= {region}
        else:
            self.secrets.set_key("us-west-2", PAYMENTS_KEY, how.removeprefix("has its key "))

    @rule(operation=CALLS, faults=st.lists(FAULTS, min_size=1, max_size=3))
    def calls_will_fail(self, operation: str, faults: list[Fault]) -> None:
        self.secrets.fail_next(operation, *faults)

    @rule(fault=QUEUE_FAULTS)
    def a_queue_will_fail(self, fault: str) -> None:
        self.queues.fail_next.append(fault)

    # Messages

    @precondition(lambda self: self.late)
    @rule(which=st.integers(0, 9), again=st.booleans())
    def a_late_event_arrives(self, which: int, *, again: bool) -> None:
        body = self.late[which % len(self.late)]
        self.queues.send(body)
        if not again:
            self.late.remove(body)

    @rule(body=st.sampled_from([SWEEP] * 5 + MALFORMED))
    def another_message_arrives(self, body: str) -> None:
        self.queues.send(body)

    @rule(waits=st.lists(WAITS, min_size=1, max_size=6), places=PLACES, choices=CHOICES)
    def batches_are_delivered(self, waits: list[float | None], places: list[int], choices: list[int]) -> None:
        for wait in waits:
            self._wait(wait)
            self._play([self.queues.receive(places)], choices)

    @rule(wait=WAITS, seconds=st.sampled_from([5, 16]), choices=CHOICES)
    def time_runs_short(self, wait: float | None, seconds: float, choices: list[int]) -> None:
        self._wait(wait)
        self._play([self.queues.receive([])], choices, seconds)

    @rule(wait=WAITS, same=st.booleans(), places=PLACES, choices=CHOICES)
    def two_instances_work_at_once(
        self, wait: float | None, places: list[int], choices: list[int], *, same: bool
    ) -> None:
        """On different messages, or on the same: SQS promises `at least once`."""
        self._wait(wait)
        first = self.queues.receive(places, half=not same)
        if same:
            for message in first:
                message.receives += 1
        self._play([first, first if same else self.queues.receive(places)], choices)

    @rule(wait=WAITS, step=st.integers(0, 8), choices=CHOICES)
    def the_function_is_killed(self, wait: float | None, step: int, choices: list[int]) -> None:
        """Its answer is lost, and so is what it had not done yet."""
        self._wait(wait)
        self._play([self.queues.receive([])], choices, killed_at=step)

    @rule(wait=WAITS, step=st.integers(1, 8), action=A_USER, choices=CHOICES)
    def a_user_acts_under_its_hands(
        self, wait: float | None, step: int, action: Action, choices: list[int]
    ) -> None:
        self._wait(wait)
        self._play([self.queues.receive([])], choices, disturbance=(step, action))

    def _wait(self, seconds: float | None) -> None:
        if seconds is not None:
            self.clock.advance(seconds)
        elif self.queues.messages:
            visible_at = min(message.visible_at for message in self.queues.messages)
            self.clock.now = max(self.clock(), visible_at)

    # One step of the function

    def _play(
        self,
        batches: list[list[QueuedMessage]],
        choices: list[int] | None = None,
        seconds: float = 45,
        killed_at: int | None = None,
        disturbance: tuple[int, Action] | None = None,
    ) -> None:
        self.broken = True  # until it is seen that it is not
        dead_letters, began = len(self.queues.dead_letters), self.clock()
        self.batch = Batch()
        deadline = self.clock() + seconds
        batches = [batch for batch in batches if batch]
        played = [self._with(number, batch, deadline) for number, batch in enumerate(batches)]

        def between(step: int) -> None:
            self._note()
            if disturbance and step == disturbance[0]:
                self.a_user_acts(disturbance[1], "a call with its answer", "once")
                self.batch.disturbed = True
                self._note()
            if step == killed_at:
                played[0].killed = True

        if played:
            with self._captured():
                self.conductor.play(played, choices or [], between)
        gone: dict[str, QueuedMessage] = {}
        for batch, instance in zip(batches, played, strict=True):
            gone |= self._gone(batch, instance)
        self.queues.delete(gone.values())
        self._check_dead_letters(dead_letters)
        self._note_ends(gone.values(), dead_letters, began)
        self._check_gone(list(gone.values()), dead_letters)
        self.nothing_forbidden_was_called()
        self.writes_are_inside_the_budget()
        self.no_value_was_logged_or_counted()
        self.broken = False

    def _with(self, number: int, batch: list[QueuedMessage], deadline: float) -> Instance:
        records = [message.record() for message in batch]
        workers = sum(message.body not in MALFORMED for message in batch)
        return Instance(number, lambda: self.apps[number].handle_batch(records, deadline), workers)

    def _gone(self, batch: list[QueuedMessage], instance: Instance) -> dict[str, QueuedMessage]:
        if instance.error:
            raise instance.error
        if instance.killed or instance.answer is None:
            return {}
        kept = {failure["itemIdentifier"] for failure in instance.answer["batchItemFailures"]}
        assert kept <= {message.message_id for message in batch}, "messages that were not in the batch"
        return {message.message_id: message for message in batch if message.message_id not in kept}

    def _note(self) -> None:
        moment = self._snapshot()
        if not self.batch.moments or self.batch.moments[-1] != moment:
            self.batch.moments.append(moment)

    @contextmanager
    def _captured(self) -> Iterator[None]:
        """Keep what the function logs and counts."""
        self.output = io.StringIO()
        before = logger.registered_handler.setStream(self.output)
        POWERTOOLS.propagate = False  # or pytest keeps every line of every example
        try:
            with redirect_stdout(self.output):
                yield
        finally:
            POWERTOOLS.propagate = True
            logger.registered_handler.setStream(before)

    def _answer(self, operation: str, region: str, params: Params) -> Params:
        """Stand between the function and the fake."""
        self.conductor.pause()
        self._note()
        if operation in METERED:
            self._check_write(operation, region, params)
        if operation in VALUE_READS:
            self.wrong.append(f"{operation} was called")
        target = params.get("SecretId", "sweep")
        try:
            answer = self.secrets.handle(operation, region, params)
        except AwsError as error:
            self.batch.errors[target].add(error.code)
            raise
        if operation == "ReplicateSecretToRegions" and self.listed_late:
            self.listed_late = False
            answer["ReplicationStatus"] = []
        if operation == "ListSecrets":
            self.batch.listed[self.conductor.here()] = {
                entry["ARN"]
                for entry in answer["SecretList"]
                if wish({tag["Key"]: tag["Value"] for tag in entry["Tags"]}).selected
                and entry.get("PrimaryRegion", HOME) == HOME
            }
        return answer

    def _enqueued(self, body: str) -> None:
        self.batch.enqueued[self.conductor.here()].add(json.loads(body)["secret_id"])

    def _not_sent(self, _operation: str) -> None:
        self.batch.errors["sweep"].add("ServiceUnavailable")

    # What must be true

    def _check_write(self, operation: str, region: str, params: Params) -> None:
        self.writes[self.conductor.here().instance.number].append(self.clock())
        if self.echoes.intersection(self.conductor.here().name.split()):
            self.wrong.append(f"{operation} because of an event that such a call may have caused: {params}")
        snapshots = [found for found in self.batch.snapshots(params["SecretId"]) if found and found.visible]
        if region != HOME or self.settings.mode == "plan" or not any(found.ours for found in snapshots):
            self.wrong.append(f"{operation} on what is not the function's to write: {params}")
        elif operation == "ReplicateSecretToRegions":
            if not any(self._wanted(found, params) for found in snapshots if found.ours):
                self.wrong.append(f"{operation} asks for what is not wanted: {params}")
        elif operation == "RemoveRegionsFromReplication":
            unwanted = any(
                not found.wish.wrong
                and (found.wish.regions | found.read_lately).isdisjoint(params["RemoveReplicaRegions"])
                for found in snapshots
                if found.ours
            )
            if not (self.settings.prune_replicas and unwanted):
                self.wrong.append(f"{operation} removes what may not be removed: {params}")
        else:
            self.wrong.append(f"{operation} was called")

    def _wanted(self, found: Snapshot, params: Params) -> bool:
        keys = {entry["Region"]: entry.get("KmsKeyId") for entry in params["AddReplicaRegions"]}
        force = params["ForceOverwriteReplicaSecret"]
        return (
            keys.keys() <= found.wish.regions
            and not (force and keys.keys() & found.kept)
            and all(key == found.wish.keys.get(region) for region, key in keys.items())
            and all(force is self._overwritten(found, region) for region in keys)
        )

    def _overwritten(self, found: Snapshot, region: str) -> bool:
        return self.settings.allow_overwrite and region in found.wish.overwrite

    def _snapshot(self) -> dict[str, Snapshot]:
        return snapshot(self.secrets, self.clock(), may_overwrite=self.settings.allow_overwrite)

    def _target(self, body: str) -> str:
        return self.targets.get(body) or json.loads(body)["secret_id"]

    def _justified(self, found: Snapshot | None, *, echo: bool = False) -> bool:
        if found is None:
            return True
        attempted_at = self.settings.mode == "plan" and found.visible
        prune = self.settings.prune_replicas and not echo
        return attempted_at or found.rightly_skipped or found.converged(prune=prune)

    def _may_go(self, found: Snapshot | None, message: QueuedMessage) -> bool:
        prune, echo = self.settings.prune_replicas, ECHO in message.body and not message.attributes
        drifted = found and found.done_but_for_drift(prune=prune and not echo)
        waited = found and (message.receives >= MAX_ATTEMPTS or found.open_regions <= found.kept)
        return bool(drifted and waited) or self._justified(found, echo=echo)

    def _note_ends(self, gone: Iterable[QueuedMessage], dead_letters: int, began: float) -> None:
        written = {dead_letter.body for dead_letter in self.queues.dead_letters[dead_letters:]} - {
            SWEEP,
            *MALFORMED,
        }
        for body in written | {message.body for message in gone if self._may_call(message)}:
            target = self._target(body)
            found = filter(None, self.batch.snapshots(target))
            self.ended |= {target: began, **{snapshot.arn: began for snapshot in found}}

    def _may_call(self, message: QueuedMessage) -> bool:
        if message.body in (SWEEP, *MALFORMED):
            return False
        return ECHO not in message.body or bool(message.attributes)

    def _followed(self, echo: QueuedMessage) -> bool:
        """Tell whether another message sees, or saw, what this one came for."""
        arn = self._target(echo.body)
        snapshots = [found for found in self.batch.snapshots(arn) if found]
        ids = {arn, *(found.name for found in snapshots)}
        others = (message for message in self.queues.messages if self._may_call(message))
        return (
            any(self._target(other.body) in ids for other in others) or self.ended.get(arn, 0) >= echo.sent_at
        )

    def _check_gone(self, gone: list[QueuedMessage], dead_letters: int) -> None:
        """Every message that left the queue left for a reason."""
        written = Counter(dead_letter.body for dead_letter in self.queues.dead_letters[dead_letters:])
        swept = sum(arns <= self.batch.enqueued[thread] for thread, arns in self.batch.listed.items())
        for message in gone:
            if written[message.body]:
                written[message.body] -= 1
            elif message.body == SWEEP:
                swept -= 1
                assert swept >= 0, "a sweep ended before all that it found was enqueued"
            else:
                assert message.body not in MALFORMED, f"lost: {message.body}"
                snapshots = self.batch.snapshots(self._target(message.body))
                right = any(self._may_go(found, message) for found in self._as_the_function_saw(snapshots))
                right = right or (not self._may_call(message) and self._followed(message))
                assert right, f"lost, or falsely converged: {message.body} {snapshots}"

    def _as_the_function_saw(self, snapshots: Sequence[Snapshot | None]) -> list[Snapshot | None]:
        """Add, if a user acted during the batch, the tags of one moment with the Regions of another.

        AWS has no conditional write: the function acts by tags that it read a moment ago. What a user changes
        meanwhile has an event of its own.
        """
        if not self.batch.disturbed:
            return [*snapshots]
        seen = [found for found in snapshots if found]
        return [*snapshots, *(replace(each, statuses=other.statuses) for each in seen for other in seen)]

    def _check_dead_letters(self, number: int) -> None:
        for dead_letter in self.queues.dead_letters[number:]:
            reason = dead_letter.attributes
            assert reason.keys() == ATTRIBUTES
            assert reason["ErrorMessage"].startswith(f"{reason['SecretArn']} - ")
            assert reason["ErrorMessage"].count(" - ") >= 2, "secret - what is wrong - what to do"
            assert len(reason["ErrorMessage"]) <= 1024
            assert MARK not in "".join(reason.values()), "a value is in a dead letter's attributes"
            assert self._true(dead_letter.body, reason), f"falsely dead-lettered: {dead_letter} {self.batch}"

    def _true(self, body: str, reason: Mapping[str, str]) -> bool:
        kind, attempts = reason["ErrorType"], int(reason["Attempts"])
        if body in MALFORMED or kind == "MalformedMessage":
            return body in MALFORMED and kind == "MalformedMessage"
        failed = frozenset(reason["FailedRegions"].split(",")) - {"none"}
        target = "sweep" if body == SWEEP else self._target(body)
        snapshots = [found for found in self._as_the_function_saw(self.batch.snapshots(target)) if found]
        ids = {target, *(found.arn for found in snapshots)}
        codes = set().union(*(self.batch.errors[key] for key in ids if key in self.batch.errors))
        named = not failed or any(failed <= self._lacking(found) for found in snapshots)
        last = _find(self.batch.moments[-1], target)
        settled = self._justified(last) and not self.batch.disturbed
        truths = {
            "AccessDenied": "AccessDeniedException" in codes,
            "RegionProblem": any(
                found.wish.wrong
                and failed == found.wish.wrong - {""}
                and not found.open_regions - found.drifted
                for found in snapshots
            ),
            "Refused": bool(codes & REFUSALS) and attempts > 1 and not settled,
            "AttemptsUsedUp": attempts >= MAX_ATTEMPTS
            and (bool(codes) or not all(map(self._justified, snapshots))),
        }
        return truths[kind] and named

    def _lacking(self, found: Snapshot) -> frozenset[str]:
        """Return the Regions, or words of the tag, that are not as they must be."""
        unwanted = found.statuses.keys() - found.wish.regions if self.settings.prune_replicas else frozenset()
        return found.open_regions | found.wish.wrong | unwanted

    def nothing_forbidden_was_called(self) -> None:
        assert not self.wrong, self.wrong

    def writes_are_inside_the_budget(self) -> None:
        share = WRITES_PER_SECOND // INSTANCES
        for times in self.writes.values():
            later = zip(times, times[share:], strict=False)
            assert all(after - before > 1 for before, after in later), times

    def no_value_was_logged_or_counted(self) -> None:
        assert MARK not in self.output.getvalue()

    # In the end

    def teardown(self) -> None:
        if self.deployed and not self.broken:
            self._heal()
            self._drain()
            self._sweep_and_account()
            self._redrive_and_account()

    def _heal(self) -> None:
        """End all faults but those that are there for good."""
        for operation in (*METERED, "DescribeSecret", "ListSecrets"):
            self.secrets._scripts[operation].clear()
        self.queues.fail_next.clear()
        self.secrets.set_key("us-west-2", PAYMENTS_KEY)

    def _drain(self) -> None:
        for _ in range(200):
            if not self.queues.messages:
                return
            self.clock.now = max(self.clock(), *(message.visible_at for message in self.queues.messages), 0)
            self._play([self.queues.receive([])])
        raise AssertionError(f"these messages never leave the queue: {self.queues.messages}")

    def _sweep_and_account(self) -> None:
        """A sweep leaves each selected secret converged, or a dead letter that names just what it lacks."""
        self.clock.advance(3600)
        before = len(self.queues.dead_letters)
        self.queues.send(SWEEP)
        self._drain()
        failed: dict[str, frozenset[str]] = {}
        for dead_letter in self.queues.dead_letters[before:]:
            regions = frozenset(dead_letter.attributes["FailedRegions"].split(",")) - {"none"}
            failed[self._target(dead_letter.body)] = regions
        if self.settings.mode == "plan":
            return
        for found in self._snapshot().values():
            self._account_for(found, failed.get(found.arn))

    def _account_for(self, found: Snapshot, failed: frozenset[str] | None) -> None:
        if self._justified(found) or found.done_but_for_drift(prune=self.settings.prune_replicas):
            assert failed is None, f"falsely dead-lettered: {found}"
            return
        assert failed is not None, f"neither converged nor dead-lettered: {found}"
        lacking = found.open_regions - found.drifted | found.wish.wrong - {""}
        assert failed == lacking, f"{failed} of {found}"
        not_to_be_had = {region for region in found.open_regions if self._hopeless(found, region)}
        assert found.open_regions == not_to_be_had, f"not converged, though it could be: {found}"

    def _hopeless(self, found: Snapshot, region: str) -> bool:
        """Whether a person must do something before this Region can be had."""
        there = self.secrets.secret(region, found.name) if found.name in self.secrets.names(region) else None
        overwritten = self._overwritten(found, region) and region not in found.kept
        return (
            found.owned
            or region not in self.secrets.regions
            or (found.name, region) in self.lost_for_good
            or (there is not None and there.primary_region != HOME and not overwritten)
            or found.statuses.get(region) == "Pending"
            or (found.statuses.get(region) == "Failed" and self.repeat == "refused")
        )

    def _redrive_and_account(self) -> None:
        """Redriven, the dead letters whose causes have gone away do not come back."""
        self.queues.redrive()
        self.echoes.clear()
        self._drain()
        for dead_letter in self.queues.dead_letters:
            if dead_letter.body not in MALFORMED:
                found = _find(self._snapshot(), self._target(dead_letter.body))
                assert not self._justified(found), f"it came back: {dead_letter} {found}"

    def _next(self) -> int:
        self.count += 1
        return self.count


BOTH_WORLDS = pytest.mark.parametrize("repeat", ["accepted", "refused"])


@pytest.mark.slow
# Two instances count into the same object here, so that one may find nothing left to publish.
@pytest.mark.filterwarnings("ignore:No application metrics to publish")
@BOTH_WORLDS
def test_no_message_is_lost_and_no_dead_letter_is_false_whatever_happens(
    tmp_path: Path, repeat: Repeat
) -> None:
    run_state_machine_as_test(
        lambda: Model(tmp_path, repeat),
        settings=settings(
            max_examples=EXAMPLES or 90,
            stateful_step_count=50 if EXAMPLES else 15,
            derandomize=not EXAMPLES,
            # To find the smallest failing run takes minutes.
            phases=[Phase.generate, Phase.shrink] if EXAMPLES else [Phase.generate],
            suppress_health_check=list(HealthCheck),
        ),
    )


# What the model has found, so that it stays found.


def deployed(folder: Path, repeat: Repeat, *values: str, **changes: Any) -> Model:
    model = Model(folder, repeat)
    usual = {
        "prune": False,
        "overwrite": False,
        "mode": "apply",
        "seconds_in_progress": 0,
        "seconds_until_visible": 0,
    }
    model.deploy(**usual | changes, tagged=[("create", {TAG: value}) for value in values])
    return model


@BOTH_WORLDS
def test_a_receive_without_an_attempt_does_not_bring_a_new_secret_nearer_to_deleted(
    tmp_path: Path, repeat: Repeat
) -> None:
    model = deployed(tmp_path, repeat, "eu-west-1", seconds_until_visible=12)
    model.batches_are_delivered([0], [], [])
    model.time_runs_short(None, 5, [])
    model.batches_are_delivered([0], [], [])
    model.teardown()


@BOTH_WORLDS
def test_a_region_that_aws_does_not_list_yet_is_waited_for(tmp_path: Path, repeat: Repeat) -> None:
    model = deployed(tmp_path, repeat, "eu-west-1", seconds_in_progress=3)
    model.aws_acts("a", "eu-west-1", "is listed late")
    model.batches_are_delivered([0], [], [])
    assert model.queues.messages
    model.teardown()


@BOTH_WORLDS
def test_two_attempts_that_remove_the_same_replica_do_not_make_a_dead_letter(
    tmp_path: Path, repeat: Repeat
) -> None:
    model = deployed(tmp_path, repeat, "eu-west-1 us-west-2", prune=True)
    model.batches_are_delivered([None, None], [], [])
    model.calls_will_fail("DescribeSecret", [THROTTLED, THROTTLED])
    model.a_user_retags("a", {TAG: "us-west-2"}, "a call with its answer", "twice")
    model.batches_are_delivered([0, 15], [], [0, 1] * 9)
    assert not model.queues.dead_letters
    model.teardown()


@BOTH_WORLDS
def test_a_region_that_aws_refuses_does_not_put_off_the_dead_letter_of_another(
    tmp_path: Path, repeat: Repeat
) -> None:
    model = deployed(tmp_path, repeat, "eu-west-1 us-west-2")
    model.aws_acts("a", "eu-west-1", "fails for good")
    model.aws_acts("a", "us-west-2", "is disabled or enabled")
    model.batches_are_delivered([None] * MAX_ATTEMPTS, [], [])
    (dead_letter,) = model.queues.dead_letters
    assert dead_letter.attributes["FailedRegions"] == "eu-west-1,us-west-2"
    model.teardown()


@BOTH_WORLDS
def test_removals_wait_for_their_turns(tmp_path: Path, repeat: Repeat) -> None:
    model = deployed(tmp_path, repeat, *["eu-west-1 us-west-2"] * 3, prune=True)
    model.batches_are_delivered([None] * 4, [], [])
    for name in SECRETS:
        model.a_user_retags(name, {TAG: "us-west-2"}, "a call with its answer", "once")
    model.batches_are_delivered([15], [], [])
    assert len(model.secrets.calls_of("RemoveRegionsFromReplication")) == 3
    model.teardown()

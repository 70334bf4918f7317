"""The strict model as the function finds it in chaos: two worlds at one address, and a fault now and then."""

from collections import Counter, defaultdict
from collections.abc import Callable, Iterator, Mapping, Sequence
from random import Random
from time import time
from typing import NamedTuple

from local.secrets_manager.model import (
    ACCESS_DENIED,
    CUT_AFTER_EFFECT,
    CUT_BEFORE_EFFECT,
    SERVER_ERROR,
    SERVER_ERROR_AFTER_EFFECT,
    THROTTLED,
    Call,
    Fault,
    Outcome,
    Params,
)
from local.secrets_manager.service import StrictSecretsManager
from local.secrets_manager.worlds import Repeat, Worlds
from replicas.aws.dead_letters import secret_name
from tests.support.model.oracle import HOME, Snapshot, snapshot_of
from tools.chaos.cases import Case, Failure, Fate

FAULTY = frozenset({"DescribeSecret", "ReplicateSecretToRegions", "RemoveRegionsFromReplication"})
FAULTS = (
    (0.20, THROTTLED),
    (0.025, SERVER_ERROR),
    (0.025, SERVER_ERROR_AFTER_EFFECT),
    (0.025, CUT_BEFORE_EFFECT),
    (0.025, CUT_AFTER_EFFECT),
)
"""The share of the calls that each strikes."""
REFUSAL = Fault("InvalidParameterException", "Invalid replica region.")
BY_A_FAULT = frozenset(fault.error or "ConnectionCut" for _share, fault in FAULTS)
"""What the record of calls says of them."""


class Moment(NamedTuple):
    """How a secret truly was just after a call about it."""

    at: float
    snapshot: Snapshot


class World:
    """One fake with its secrets and its faults."""

    def __init__(self, seed: int, repeat: Repeat, cases: Sequence[Case]) -> None:
        self.secrets = StrictSecretsManager(worlds=Worlds(repeat))
        self.cases = {case.name: case for case in cases}
        self.moments: dict[str, list[Moment]] = defaultdict(list)
        self.rotated: set[tuple[str, str]] = set()
        self._unreported: list[Failure] = []
        self._failures: set[Failure] = set()
        self._seed = seed
        self._numbers: Counter[tuple[str, str]] = Counter()

    def begin(self) -> Mapping[str, str]:
        """Make the secrets; return their ARNs by name."""
        for case in self.cases.values():
            self._script(case)
        self.secrets.faults = self._fault
        present = [case for case in self.cases.values() if case.exists]
        return {case.name: self._make(case) for case in present}

    def handle(self, operation: str, region: str, params: Params) -> Params:
        """Do a call of the function, and note how its secret is then."""
        try:
            return self.secrets.handle(operation, region, params)
        finally:
            name = secret_name(params.get("SecretId", ""))
            if found := self.snapshot(name):
                self.moments[name].append(Moment(time(), found))
                self._note_failures(name)

    def snapshot(self, name: str) -> Snapshot | None:
        """Return how a secret truly is, None if there is none."""
        if name not in self.cases or not self.cases[name].exists:
            return None
        return snapshot_of(self.secrets, self.secrets.secret(HOME, name), time())

    def take_failures(self) -> Sequence[Failure]:
        """Return the failures of Regions that were not taken yet."""
        for name, case in self.cases.items():
            if case.exists:
                self._note_failures(name)
        taken, self._unreported = self._unreported, []
        return taken

    def _note_failures(self, name: str) -> None:
        secret = self.secrets.secret(HOME, name)
        for replica in [*secret.replicas.values()]:
            failure = Failure(name, secret.arn, replica.region, replica.settles_at)
            if replica.status == "Failed" and failure not in self._failures:
                self._failures.add(failure)
                self._unreported.append(failure)

    def rotate_what_failed_once(self) -> Mapping[str, str]:
        """Give a new value to secrets with a Region that would heal, once each; return their ARNs by name.

        Where AWS refuses to replicate a Failed Region again, nothing else starts it again.
        """
        healing = {place for place in self._failed_once() if place not in self.rotated}
        self.rotated |= healing
        put = {"SecretString": "a new value"}
        return {
            name: self.secrets.handle("PutSecretValue", HOME, {"SecretId": name, **put})["ARN"]
            for name in sorted({name for name, _region in healing})
        }

    def _failed_once(self) -> Iterator[tuple[str, str]]:
        """Yield the places that are Failed now, and need not stay so."""
        for name, case in self.cases.items():
            for region, fate in case.fates.items():
                if fate is Fate.FAILED_ONCE:
                    replica = self.secrets.secret(HOME, name).replicas.get(region)
                    if replica and replica.status == "Failed":
                        yield name, region

    def _script(self, case: Case) -> None:
        for region, seconds in case.seconds.items():
            outcome = Outcome(seconds=seconds)
            if case.fates.get(region) is Fate.FAILED_ONCE:
                outcome = Outcome("Failed", f"no luck in {region}", seconds, attempts=1)
            elif case.fates.get(region) is Fate.FAILED_FOR_GOOD:
                outcome = Outcome("Failed", f"no hope in {region}", seconds)
            elif case.fates.get(region) is Fate.TAKEN:
                self.secrets.add_secret(region, case.name)
            self.secrets.set_outcome(case.name, region, outcome)

    def _make(self, case: Case) -> str:
        secret = self.secrets.add_secret(
            HOME,
            case.name,
            tags=dict(case.tags),
            visible_at=time() + case.late_seconds,
            owning_service="rds" if case.owned else None,
            delete_at=time() + 7 * 86_400 if case.deleted else None,
            primary_region="eu-central-1" if case.replica else None,
        )
        return secret.arn

    def _fault(self, call: Call, _random: Random) -> Fault | None:
        """Return what goes wrong with a call: it depends on the secret and how often that was asked for."""
        case = self.cases.get(call.secret or "")
        if call.operation not in FAULTY or not case or not case.exists:
            return None
        return _answer_to(call, case) or self._drawn(call.operation, case)

    def _drawn(self, operation: str, case: Case) -> Fault | None:
        self._numbers[operation, case.name] += 1
        number = self._numbers[operation, case.name]
        drawn = Random(f"{self._seed} {operation} {case.name} {number}").random()  # noqa: S311
        for share, fault in FAULTS:
            if drawn < share:
                return fault
            drawn -= share
        return None


def _answer_to(call: Call, case: Case) -> Fault | None:
    """Return what AWS always says to a call that asks for this Region."""
    asked = {entry["Region"] for entry in call.parameters.get("AddReplicaRegions", ())}
    fates = {case.fates.get(region) for region in asked}
    if Fate.DENIED in fates:
        return ACCESS_DENIED
    return REFUSAL if Fate.REFUSED in fates else None


class Aws:
    """The worlds behind one endpoint. A secret's name begins with its world."""

    def __init__(self, worlds: Mapping[Repeat, World], before_call: Callable[[], None]) -> None:
        self.worlds = worlds
        self.cases = {name: case for world in worlds.values() for name, case in world.cases.items()}
        self._before_call = before_call

    def handle(self, operation: str, region: str, params: Params) -> Params:
        self._before_call()
        return self._world(params.get("SecretId", "")).handle(operation, region, params)

    def _world(self, secret_id: str) -> World:
        repeat = secret_name(secret_id).partition("/")[0]
        found = [world for known, world in self.worlds.items() if known == repeat]
        return (found or [*self.worlds.values()])[0]

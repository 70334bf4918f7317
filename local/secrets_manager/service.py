"""A strict model of AWS Secrets Manager: it refuses, delays, throttles and fails as AWS does.

Where AWS's behaviour is not documented, a switch chooses one of two worlds. A test may read and set the state
itself (`secret`, `add_secret`), and every public field here, of `replication` and of `listing`.
"""

import time
from collections import defaultdict, deque
from collections.abc import Callable
from contextlib import AbstractContextManager
from dataclasses import replace

from botocore.client import BaseClient

from local.secrets_manager import transport
from local.secrets_manager.events import StatusChange, service_events
from local.secrets_manager.model import AwsError, Call, ConnectionCutError, Fault, FaultHook, Outcome, Params
from local.secrets_manager.operations import Operations
from local.secrets_manager.worlds import Worlds

VALUE_READS = frozenset({"GetSecretValue", "BatchGetSecretValue"})
METERED = frozenset(
    {
        "PutSecretValue",
        "UpdateSecret",
        "UpdateSecretVersionStage",
        "ReplicateSecretToRegions",
        "RemoveRegionsFromReplication",
        "StopReplicationToReplica",
    }
)


class StrictSecretsManager(Operations):
    """All Regions of one account, behind one lock: what surrounds each call."""

    def __init__(
        self,
        *,
        account: str = "123456789012",
        clock: Callable[[], float] = time.time,
        sleep: Callable[[float], None] = time.sleep,
        worlds: Worlds | None = None,
    ) -> None:
        super().__init__(account, clock, worlds or Worlds())
        self.writes_per_second: float | None = None
        self.faults: FaultHook | None = None
        self.calls: list[Call] = []
        self.values_readable = False  # nothing here reads one; behind IAM its policies decide
        self._sleep = sleep
        self._buckets: dict[str, tuple[float, float]] = {}
        self._scripts: dict[str, deque[Fault | None]] = defaultdict(deque)

    # What a test uses

    def attach(self, client: BaseClient) -> None:
        """Answer a boto3 client of Secrets Manager in process."""
        transport.attach(self.handle, client)

    def serve(self, port: int = 0) -> AbstractContextManager[str]:
        """Serve over HTTP on 127.0.0.1 while the context is open; gives the endpoint's URL."""
        return transport.serve(self.handle, port)

    def set_outcome(self, name: str, region: str, outcome: Outcome) -> None:
        """Decide how replication of a secret to a Region ends; either may be "*" for any."""
        with self._lock:
            self.replication.settle()
            self.replication.set_outcome(name, region, outcome)

    def set_key(self, region: str, key: str, state: str = "Enabled") -> None:
        """Set the state of a KMS key, KMS's own or AccessDenied; a key that was never set is missing."""
        with self._lock:
            self.replication.settle()
            self.replication.keys[region, key] = state

    def switch_off(self, region: str) -> None:
        """Let a Region answer nothing, and nothing pass between it and others, until it is switched on."""
        with self._lock:
            self.replication.settle()
            self.replication.switched_off.add(region)

    def switch_on(self, region: str) -> None:
        """Let a Region answer again; what waited for it passes now."""
        with self._lock:
            self.replication.switch_on(region)

    def fail_next(self, operation: str, *faults: Fault | None) -> None:
        """Let the next calls of an operation go wrong, one fault each; None lets a call through."""
        with self._lock:
            self._scripts[operation].extend(faults)

    def calls_of(self, *operations: str) -> list[Call]:
        with self._lock:
            return [call for call in self.calls if call.operation in operations]

    @property
    def history(self) -> list[StatusChange]:
        """Every change of a replica's status, oldest first."""
        with self._lock:
            self.replication.settle()
            return list(self.replication.history)

    @property
    def service_events(self) -> list[Params]:
        """What EventBridge gets of the changes, oldest first; an event keeps its id."""
        return list(service_events(self.history, self.worlds))

    def handle(self, operation: str, region: str, params: Params) -> Params:
        """Do one call; raises AwsError for an error answer, ConnectionCutError for none."""
        error, answer = None, {}
        if region in self.replication.switched_off:
            raise ConnectionCutError
        with self._lock:
            self.replication.settle()
            call = self._call(operation, region, params)
            fault = self._fault(call)
            try:
                answer = self._perform(call, params, fault)
            except AwsError as refusal:
                error = refusal
            self.calls.append(replace(call, error=error.code if error else None))
        if fault and fault.delay_seconds:
            self._sleep(fault.delay_seconds)
        if error:
            raise error
        return answer

    # Every call

    def _call(self, operation: str, region: str, params: Params) -> Call:
        secret = params.get("SecretId", params.get("Name"))
        found = self._lookup(region, secret) if secret else None
        shown = {key: value for key, value in params.items() if key not in ("SecretString", "SecretBinary")}
        return Call(operation, region, found.name if found else secret, shown, self._clock())

    def _fault(self, call: Call) -> Fault | None:
        if self._scripts[call.operation]:
            return self._scripts[call.operation].popleft()
        return self.faults(call, self.random) if self.faults else None

    def _perform(self, call: Call, params: Params, fault: Fault | None) -> Params:
        if call.operation in VALUE_READS and not self.values_readable:
            raise AwsError("AccessDeniedException", "Secret values are never read here.")
        if call.operation not in self._operations:
            raise AwsError("UnknownOperationException", f"The model does not know {call.operation}.")
        if fault and not fault.after_effect:
            fault.strike()
        if call.operation in METERED and self.writes_per_second:
            self._spend(call.region, self.writes_per_second)
        answer = self._operations[call.operation](call.region, params)
        if fault and fault.after_effect:
            fault.strike()
        return answer

    def _spend(self, region: str, rate: float) -> None:
        """Replicating, removing, promoting and writing values share 50 calls a second in each Region.

        Documented: https://docs.aws.amazon.com/secretsmanager/latest/userguide/reference_limits.html
        Here: `WritesPerSecond`, strict over all instances.
        Held by: test_writes_of_a_region_share_one_budget, function/test_budget.py.
        """
        now = self._clock()
        tokens, then = self._buckets.get(region, (rate, now))
        tokens = min(rate, tokens + (now - then) * rate)
        spent = 1 if tokens >= 1 else 0
        self._buckets[region] = (tokens - spent, now)
        if not spent:
            raise AwsError("ThrottlingException", "Rate exceeded")

"""From CloudTrail through EventBridge's rules to their queues, which the local AWS does not do by itself.

Only public AWS APIs are used: LookupEvents, TestEventPattern with the deployed rules' own patterns,
SendMessage. What it cannot know: MiniStack does not record what IAM refused, and calls every caller an
`IAMUser`, also a role.
"""

import json
import queue
import threading
from collections.abc import Callable, Iterable, Iterator, Mapping
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

from botocore.exceptions import ClientError

from local.aws.observe import describe
from local.cloudtrail import records
from local.errors import LocalError
from local.secrets_manager.events import SOURCE
from local.secrets_manager.model import Params

if TYPE_CHECKING:
    from mypy_boto3_cloudtrail import CloudTrailClient
    from mypy_boto3_cloudtrail.type_defs import EventTypeDef, LookupEventsRequestTypeDef
    from mypy_boto3_events.type_defs import RuleTypeDef, TargetOutputTypeDef

    from replicas.aws.connection import Connection

PAGE = 50
"""Records that LookupEvents returns at most. MiniStack returns the newest, and no token for the rest."""

POLL_SECONDS = 0.3


@dataclass(frozen=True)
class Route:
    """An enabled rule of the default bus; its targets by ARN, with the URL of each queue of ours."""

    rule: str
    pattern: str
    targets: Mapping[str, str]


@dataclass(frozen=True)
class Delivery:
    """A call that was recorded, the rules that sent it on, and the targets that it did not reach."""

    call: str
    secret_id: str
    rules: tuple[str, ...] = ()
    missed: tuple[str, ...] = ()


@dataclass
class Reader:
    """Reads each record of a change once, from `since` on, oldest first."""

    client: "CloudTrailClient"
    since: datetime
    _known: set[str] = field(default_factory=set)

    def read(self) -> list[Params]:
        """Return the records that are new; raise LocalError if some of them cannot be reached."""
        found = self._back_to_known()
        self._known |= found.keys()
        self.since = max((entry["EventTime"] for entry in found.values()), default=self.since)
        return [
            json.loads(entry["CloudTrailEvent"])
            for entry in reversed(found.values())
            if entry["EventName"] in records.CHANGES
        ]

    def _back_to_known(self) -> "dict[str, EventTypeDef]":
        """Walk back from the newest record, page by page, to the first known one."""
        found: dict[str, EventTypeDef] = {}
        end: datetime | None = None
        while True:
            page = {entry["EventId"]: entry for entry in self._page(end)}
            fresh = page.keys() - self._known - found.keys()
            found |= {number: entry for number, entry in page.items() if number in fresh}
            if len(page) < PAGE or page.keys() & self._known:
                return found
            if not fresh:
                raise LocalError(
                    f"The CloudTrail relay cannot see everything: {PAGE} or more calls at once, "
                    f"and MiniStack shows only the newest {PAGE}. Start again, and make fewer calls"
                )
            end = min(entry["EventTime"] for entry in page.values())

    def _page(self, end: datetime | None) -> "list[EventTypeDef]":
        asked: LookupEventsRequestTypeDef = {
            "LookupAttributes": [  # AWS takes one attribute, MiniStack all
                {"AttributeKey": "EventSource", "AttributeValue": SOURCE},
                {"AttributeKey": "ReadOnly", "AttributeValue": "false"},
            ],
            "StartTime": self.since,
            "MaxResults": PAGE,
        }
        if end is not None:
            asked["EndTime"] = end
        return self.client.lookup_events(**asked)["Events"]


def send_exact_times(client: "CloudTrailClient") -> None:
    """Let LookupEvents be asked for fractions of a second: botocore would cut them off.

    Without them, what is older than the newest 50 calls of one second could not be asked for.
    """

    def keep(params: Mapping[str, Any], context: dict[str, Any], **_: object) -> None:
        times = {name: value for name, value in params.items() if isinstance(value, datetime)}
        context["exact_times"] = {name: value.timestamp() for name, value in times.items()}

    def send(params: dict[str, Any], context: Mapping[str, Any], **_: object) -> None:
        params["body"] = json.dumps(json.loads(params["body"]) | context["exact_times"]).encode()

    events = client.meta.events
    events.register("before-parameter-build.cloudtrail.LookupEvents", keep, unique_id="exact-times-keep")
    events.register("before-call.cloudtrail.LookupEvents", send, unique_id="exact-times-send")


def deliver(clients: "Connection", found: Iterable[Params]) -> Iterator[Delivery]:
    """Send each record to every rule that wants it; yield what was done with it."""
    deployed = list(routes(clients))
    for record in found:
        secret_id, call = records.secret_id(record), str(record["eventName"])
        if not secret_id:
            yield Delivery(call, "")
            continue
        event = json.dumps(records.event(record, describe(clients.secrets, secret_id)))
        wanting = [route for route in deployed if _matches(clients, route, event)]
        rules = tuple(route.rule for route in wanting if any(route.targets.values()))
        targets = [target for route in wanting for target in route.targets.items()]
        missed = tuple(url or arn for arn, url in targets if not (url and _sent(clients, url, event)))
        yield Delivery(call, secret_id, rules, missed)


def _matches(clients: "Connection", route: Route, event: str) -> bool:
    return clients.events.test_event_pattern(EventPattern=route.pattern, Event=event)["Result"]


def _sent(clients: "Connection", queue_url: str, event: str) -> bool:
    """Tell whether the queue took the event: a person's own queue may be gone, or want more than that."""
    try:
        clients.sqs.send_message(QueueUrl=queue_url, MessageBody=event)
    except ClientError:
        return False
    return True


def routes(clients: "Connection") -> Iterator[Route]:
    """Return the enabled rules with a pattern, as they are deployed now."""
    for page in clients.events.get_paginator("list_rules").paginate():
        for rule in page["Rules"]:
            if rule.get("EventPattern") and rule["State"] == "ENABLED":
                targets = {target["Arn"]: _queue_url(clients, target) for target in _targets(clients, rule)}
                yield Route(rule["Name"], rule["EventPattern"], targets)


def _targets(clients: "Connection", rule: "RuleTypeDef") -> "list[TargetOutputTypeDef]":
    try:
        return clients.events.list_targets_by_rule(Rule=rule["Name"])["Targets"]
    except clients.events.exceptions.ResourceNotFoundException:  # deleted meanwhile
        return []


def _queue_url(clients: "Connection", target: "TargetOutputTypeDef") -> str:
    """Return where the target is, empty if it is not a queue of ours that gets the whole event."""
    if ":sqs:" not in target["Arn"] or {"Input", "InputPath", "InputTransformer"} & target.keys():
        return ""
    try:
        return clients.sqs.get_queue_url(QueueName=target["Arn"].rpartition(":")[2])["QueueUrl"]
    except ClientError:
        return ""


class Relay:
    """A relay at work, in two threads: reading never waits for delivering."""

    def __init__(self, clients: "Connection", hear: Callable[[Delivery], None]) -> None:
        send_exact_times(clients.cloudtrail)
        _ = clients.events, clients.secrets, clients.sqs  # made here: boto3 makes no clients in threads
        self._reader = Reader(clients.cloudtrail, datetime.now(UTC))
        self._clients = clients
        self._hear = hear
        self._found: queue.SimpleQueue[list[Params]] = queue.SimpleQueue()
        self._stopped = threading.Event()
        self._work: list[Future[None]] = []

    def check(self) -> None:
        """Raise what stopped the relay, if something did."""
        for work in self._work:
            if work.done():
                work.result()

    @contextmanager
    def running(self) -> Iterator[None]:
        with ThreadPoolExecutor(2, "relay") as threads:
            try:
                self._work = [threads.submit(self._read), threads.submit(self._send)]
                yield
            finally:
                self._stopped.set()

    def _read(self) -> None:
        while not self._stopped.is_set():
            found = self._reader.read()
            self._found.put(found)
            if not found:
                self._stopped.wait(POLL_SECONDS)

    def _send(self) -> None:
        while not self._stopped.is_set():
            try:
                found = self._found.get(timeout=POLL_SECONDS)
            except queue.Empty:
                continue
            for delivery in deliver(self._clients, found) if found else ():
                self._hear(delivery)

"""What stands in for the app where settings or policy are wrong: messages wait, and end with the reason."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, NoReturn

from secret_replicator.clients import Clients
from secret_replicator.disposition import Disposition, error_type
from secret_replicator.errors import MalformedMessageError
from secret_replicator.messages import ReconcileRequest, parse
from secret_replicator.models import Kind, Outcome, Problem
from secret_replicator.results import Result, response
from secret_replicator.settle import Settler
from secret_replicator.work_queue import Message, WorkQueue

ATTEMPTS = 10
"""As MaxAttempts by default, which may be what is wrong: a deployment has 50 minutes to correct it."""

REMEDY = "deploy again with this corrected, then redrive"


@dataclass(frozen=True)
class Unready:
    """Why the function cannot start, and what ends messages if the queues are known."""

    error: Exception
    region: str
    settler: Settler | None

    def handle_batch(self, records: Sequence[Mapping[str, Any]], deadline: float) -> dict[str, Any]:
        """Put messages off, and dead-letter those that were received often enough; return what must stay.

        Raise the error unless a message has ended: then Lambda counts it, and FunctionErrorsAlarm fires.
        """
        if self.settler is None:
            self.fail()
        results = [self._result(Message.from_record(record)) for record in records]
        results = self.settler.settle(results, deadline)
        if all(result.stays for result in results):
            self.fail()
        return response(results)

    def handle_one(self, _event: object, _deadline: float, _request_id: str) -> NoReturn:
        """Raise the error."""
        self.fail()

    def fail(self) -> NoReturn:
        """Raise the error, without the traces of the times before."""
        raise self.error.with_traceback(None)

    def _result(self, message: Message) -> Result:
        try:
            request = parse(message.body, self.region)
        except MalformedMessageError:
            request = ReconcileRequest("unknown")
        problem = Problem("", f"the function cannot start: {self.error}", REMEDY, error_type(self.error))
        outcome = Outcome(Kind.FAILED, request.secret_id, problems=(problem,))
        ends = message.attempt >= ATTEMPTS
        return Result(message, request, outcome, Disposition.DEAD_LETTER if ends else Disposition.RETRY_LATER)


def unready(error: Exception, environment: Mapping[str, str]) -> Unready:
    """Return what stands in for the app, with the queues if the environment names them."""
    names = ("AWS_REGION", "QUEUE_URL", "DEAD_LETTER_QUEUE_URL")
    region, queue_url, dead_letter_queue_url = (environment.get(name, "") for name in names)
    if not (region and queue_url and dead_letter_queue_url):
        return Unready(error, region, None)
    return Unready(error, region, Settler(WorkQueue(Clients(region).sqs(), queue_url, dead_letter_queue_url)))

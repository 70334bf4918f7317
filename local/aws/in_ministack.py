"""Lambda's recursive loop detection in MiniStack's process: SQS keeps the trace header, Lambda counts by it.

MiniStack itself counts only where functions invoke each other. The deliveries of EventBridge and what SQS
refuses are replaced by the modules that are imported for it.
"""

import os
import re
from collections.abc import Iterator, Mapping
from contextvars import ContextVar
from pathlib import Path
from typing import Any

from ministack.app import app as whole_app
from ministack.services import lambda_svc, sqs

from local.aws import events_in_ministack, queues_in_ministack  # noqa: F401  they replace their parts
from local.aws.lineage import invocations, next_header
from local.aws.ministack import read_switched_off
from local.aws.seam import Answer, Facts, Own, in_place_of, remembered

__all__ = ["app"]

_SCOPE = re.compile(rb"Credential=[^/]+/\d{8}/([^/]+)/([^/]+)/aws4_request")
_GLOBAL = (b"iam", b"sts")

_sent_with = ContextVar("_sent_with", default="")
_invoked_with = ContextVar("_invoked_with", default="")


async def app(scope: Facts, receive: Any, send: Any) -> None:  # noqa: ANN401  as ASGI has them
    """Answer as MiniStack does, but for a Region that is switched off: there nothing answers."""
    if scope["type"] == "http" and _is_off(scope):
        await send({"type": "http.response.start", "status": 503, "headers": []})
        await send({"type": "http.response.body", "body": b""})
    else:
        await whole_app(scope, receive, send)


def switched_off() -> set[str]:
    return read_switched_off(Path(os.environ["STATE_DIR"]))


def _is_off(scope: Facts) -> bool:
    regions = switched_off()
    signed = _SCOPE.search(dict(scope["headers"]).get(b"authorization", b"")) if regions else None
    return bool(signed and signed[1].decode() in regions and signed[2] not in _GLOBAL)


@in_place_of(sqs, "handle_request")
async def handle_request(
    own: Own, method: str, path: str, headers: Mapping[str, str], *request: object
) -> Answer:
    """Answer, and remember the trace header meanwhile."""
    with remembered(_sent_with, headers.get("x-amzn-trace-id", "")):
        answer: Answer = await own(method, path, headers, *request)
    return answer


@in_place_of(sqs, "_build_send_sys_attrs")
def system_attributes(own: Own, now: float, sys_attrs_input: Facts) -> dict[str, str]:
    """Return a message's system attributes, with the header of its request if it has none of its own.

    https://docs.aws.amazon.com/xray/latest/devguide/xray-services-sqs.html
    """
    given: dict[str, str] = own(now, sys_attrs_input)
    header = _sent_with.get()
    return {"AWSTraceHeader": header} | given if header else given


@in_place_of(lambda_svc, "_execute_function")
def execute_function(own: Own, func: Facts, event: object) -> Facts:
    """Run a function, unless its chain of requests is too long and the function does not allow that.

    The event source gets the error, so messages come back until the queue's maxReceiveCount moves them:
    https://docs.aws.amazon.com/lambda/latest/dg/invocation-recursion.html
    """
    config = func.get("config") or func
    arn = config["FunctionArn"]
    header = next_header(arn, _received(event))
    name, count = config["FunctionName"], invocations(arn, header)
    if lambda_svc._recursive_loop_drop(name, func, count):  # noqa: SLF001
        reason = f"Invocation {count} of {name} in one chain of requests was stopped."
        return {
            "error": True,
            "body": {"errorType": "RecursiveInvocationException", "errorMessage": reason},
            "log": "",
        }
    with remembered(_invoked_with, header):
        answer: Facts = own(func, event)
    return answer


def _received(event: object) -> Iterator[str]:
    """Return the trace headers of the messages from SQS that an event consists of."""
    match event:
        case {"Records": [*records]}:
            for record in records:
                match record:
                    case {"eventSource": "aws:sqs", "attributes": {"AWSTraceHeader": str(header)}}:
                        yield header


@in_place_of(lambda_svc, "_xray_trace_id_for_invocation")
def trace_id(own: Own, config: Facts, inbound_trace_header: str | None = None) -> str | None:
    """Return what the function finds as `_X_AMZN_TRACE_ID`."""
    return _invoked_with.get() or own(config, inbound_trace_header)


os.environ.pop("PYTHONPATH", None)  # it led here, and is nothing for functions

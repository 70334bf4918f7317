"""The same stack, staying up: what to export, what to try, and what happens, line by line."""

import shlex
import shutil
import time
from contextlib import ExitStack
from functools import partial

from rich.console import Console

from local.aws import observe, plain_http
from local.aws.ministack import clients
from local.aws.observe import FunctionLog, LogLine
from local.cloudtrail.relay import Delivery, Relay
from local.console import step
from local.demo import examples
from local.errors import LocalError
from local.process.environment import HOME_REGION, LOCAL_POLICY, TOOLS
from local.stack import Stack, Variant, local_stack, logical_id
from replicas.aws.dead_letters import secret_name
from replicas.aws.local_endpoint import Address, published

_POWERTOOLS_FACTS = {
    *("level", "location", "message", "timestamp", "service", "correlation_id", "xray_trace_id"),
    *("cold_start", "function_name", "function_memory_size", "function_arn", "function_request_id"),
}
_SAID_FIRST = {"secret", "outcome", "reason", "message_id"}


def run(console: Console, port: int, worlds: str) -> int:
    """Keep the stack up until it is interrupted; `worlds` are the switches of its Secrets Manager."""
    with ExitStack() as running:
        stack = running.enter_context(local_stack(partial(step, console), port, Variant(worlds=worlds)))
        # Before the relay: for the function of the stack it is as if their events were lost.
        examples.create(stack.clients.secrets)
        examples.create_key(clients(stack.aws, examples.KEY_REGION).keys)
        try:
            running.enter_context(plain_http.opened(stack.aws))
        except LocalError as error:
            console.print(str(error), markup=False, soft_wrap=True)
        relay = Relay(stack.clients, partial(_show_delivery, console))
        log = FunctionLog(stack.clients.logs, stack.log_group)
        running.enter_context(relay.running())
        running.enter_context(
            published(Address(stack.aws.endpoint, str(stack.aws.ca_bundle), HOME_REGION, str(LOCAL_POLICY)))
        )
        console.print(_instructions(stack), markup=False, soft_wrap=True)
        while True:
            relay.check()
            for line in log.read():
                _show(console, "function", _format(line))
            time.sleep(observe.POLL_SECONDS)


def _instructions(stack: Stack) -> str:
    endpoint = f"--endpoint-url {stack.aws.endpoint}"
    exports = "\n".join(f"export {name}={shlex.quote(value)}" for name, value in stack.aws.exports.items())
    tags = "Key=replicate-to,Value=eu-west-1"
    dead_letters = f"--queue-url {stack.dead_letter_queue_url} --message-attribute-names All"
    there = shutil.which("aws", path=TOOLS) or shutil.which("aws")
    aws = shlex.quote(there) if there else "aws"
    replicas, sam = (shlex.quote(str(TOOLS / name)) for name in ("replicas", "sam"))
    note = "" if there else "\n(aws is not on this machine: https://aws.amazon.com/cli/)"
    return f"""
In another terminal, first:

{exports}

Then try:{note}

{aws} {endpoint} secretsmanager create-secret --name shop/db --secret-string hidden --tags {tags}
{replicas} status --local
{replicas} explain --local shop/db
{aws} {endpoint} secretsmanager describe-secret --secret-id shop/db --region eu-west-1
{aws} {endpoint} sqs receive-message {dead_letters}

The secrets that the files of events/ name are there, and nobody has looked at them yet. The function can:

make build
make invoke EVENT=events/create-secret.json
{sam} local invoke ReplicatorFunction --event events/sqs-batch.json

Every `aws sqs` command needs its endpoint as above: without it, the AWS CLI looks for SQS on AWS.
The policy is local/policy.toml; Ctrl-C here ends it all. What happens from now on:
"""


def _show_delivery(console: Console, delivery: Delivery) -> None:
    said = f"{secret_name(delivery.secret_id)}: {delivery.call}"
    if delivery.rules:
        _show(console, "relay", f"{said}, delivered by {' and '.join(map(logical_id, delivery.rules))}")
    for target in delivery.missed:
        _show(console, "relay", f"{said}, not delivered to {target}: only to queues, and the whole event")


def _format(line: LogLine) -> str:
    if not line.facts:
        return line.event
    name = secret_name(line.fact("secret")) or "all secrets"
    if line.event == "secret_reconciled":
        reason = line.fact("reason")
        begin = f"{name}: {line.fact('outcome')}" + (f" ({reason})" if reason else "")
    else:
        begin = f"{name}: {line.level} {line.event}"
    rest = [name for name in line.facts if name not in _POWERTOOLS_FACTS | _SAID_FIRST]
    return ", ".join([begin, *(f"{name} {_plainly(line.facts[name])}" for name in rest)])


def _plainly(value: object) -> str:
    match value:
        case dict():
            return " ".join(f"{name} {_plainly(item)}" for name, item in value.items())
        case list():
            return " ".join(_plainly(item) for item in value)
        case _:
            return str(value)


def _show(console: Console, who: str, text: str) -> None:
    console.print(f"{time.strftime('%H:%M:%S')} {who:8} {text}", markup=False, soft_wrap=True)

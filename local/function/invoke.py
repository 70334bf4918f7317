"""One event, given to what `make build` made, in Lambda's runtime emulator, against a local AWS."""

import json
import os
import re
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from tempfile import TemporaryDirectory
from urllib.parse import urlsplit

from rich.console import Console

from local.aws import observe
from local.aws.ministack import ADDRESS, LocalAws, clients, local_aws
from local.demo import examples
from local.errors import LocalError
from local.function.emulator import ARTIFACT, Answer, Emulator, emulated
from local.function.template import replicator_function
from local.stack import ALLOWED_REGIONS, describe
from secret_replicator.errors import MalformedMessageError

_ERROR = re.compile(r"^\[ERROR\] .*?(?=^END )", re.DOTALL | re.MULTILINE)


def run(console: Console, event_file: Path) -> int:
    """Show the function's log, its answer and what is in other Regions; return 1 if the function failed.

    An event that it refuses, as it refuses many files of events/, is no failure: the answer is 0 then.
    """
    event = _event(event_file)
    with emulated_function(console) as (aws, emulator):
        answer = emulator.invoke(event)
        console.print(_log(emulator.log.read_text("utf-8"), answer), markup=False, soft_wrap=True)
        console.print(_answer_text(answer), markup=False, soft_wrap=True)
        for name in examples.EXAMPLES:
            console.print(_replicas(aws, name), markup=False, soft_wrap=True)
    return 1 if answer.error_type and not _is_refused(answer) else 0


@contextmanager
def emulated_function(console: Console) -> Iterator[tuple[LocalAws, Emulator]]:
    """Run what `make build` made, with the environment that template.yaml gives it.

    It works on the local AWS of `make local` if its variables are exported here, else on one for the moment.
    """
    with ExitStack() as running:
        if aws := _exported():
            console.print(f"Against the local AWS of `make local`, {aws.endpoint}")
            stack = describe(aws, clients(aws))
            urls = {"ReplicationQueue": stack.queue_url, "DeadLetterQueue": stack.dead_letter_queue_url}
        else:
            aws = running.enter_context(local_aws())
            console.print("Against a local AWS for the moment; it has the secrets that events/ names")
            home = clients(aws)
            examples.create(home.secrets)
            names = ("ReplicationQueue", "DeadLetterQueue")
            urls = {name: home.sqs.create_queue(QueueName=name)["QueueUrl"] for name in names}
        function = replicator_function({"AllowedRegions": ",".join(ALLOWED_REGIONS)}, urls)
        folder = Path(running.enter_context(TemporaryDirectory(prefix="secret-replicator-")))
        yield aws, running.enter_context(emulated(function, ARTIFACT, aws.exports, folder))


def _event(file: Path) -> object:
    try:
        return json.loads(file.read_text("utf-8"))
    except (OSError, ValueError) as error:
        raise LocalError(f"{file} is not a JSON file that can be read: {error}") from error


def _exported() -> LocalAws | None:
    endpoint, bundle = os.environ.get("AWS_ENDPOINT_URL", ""), os.environ.get("AWS_CA_BUNDLE", "")
    parts = urlsplit(endpoint)
    if parts.hostname != ADDRESS or not parts.port or not bundle:
        return None
    return LocalAws(parts.port, Path(bundle).parent)


def _is_refused(answer: Answer) -> bool:
    return answer.error_type == MalformedMessageError.__name__


def _log(text: str, answer: Answer) -> str:
    """Return the log, without the traceback of what is refused: there is nothing to be found in it."""
    return (_ERROR.sub("", text) if _is_refused(answer) else text).rstrip()


def _answer_text(answer: Answer) -> str:
    if _is_refused(answer):
        return f"Refused, as it should be: {answer.payload['errorMessage']}"
    kind = f"Failed ({answer.error_type})" if answer.error_type else "Answer"
    shown = answer.payload
    if answer.error_type and isinstance(shown, dict):
        shown = {key: shown[key] for key in ("errorType", "errorMessage")}
    return f"{kind}: {json.dumps(shown)}"


def _replicas(aws: LocalAws, name: str) -> str:
    found = observe.statuses(observe.describe(clients(aws).secrets, name))
    return f"{name}: {', '.join(f'{region} {status}' for region, status in found.items()) or 'no replica'}"

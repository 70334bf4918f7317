"""A function instance: the built handler in a process of its own, as Lambda runs it. It can be killed."""

import json
import os
import subprocess
import sys
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from tests.support.fakes.queues import DEAD_LETTER_QUEUE_URL, QUEUE_URL, Record

ROOT = Path(__file__).parents[3]
ARTIFACT = ROOT / ".aws-sam/build/ReplicatorFunction"

_RUNTIME = """
import json, sys, time
answers, sys.stdout = sys.stdout, sys.stderr
from secret_replicator.app import handler

class Context:
    function_name = "ReplicatorFunction"
    memory_limit_in_mb = 256
    invoked_function_arn = "arn:aws:lambda:us-east-1:123456789012:function:ReplicatorFunction"
    aws_request_id = "a request"

    def __init__(self, seconds):
        self.end = time.monotonic() + seconds

    def get_remaining_time_in_millis(self):
        return int((self.end - time.monotonic()) * 1000)

for line in sys.stdin:
    asked = json.loads(line)
    print(json.dumps(handler(asked["event"], Context(asked["seconds"]))), file=answers, flush=True)
"""


class KilledError(Exception):
    """The instance ended before it answered."""


class Instance:
    """One running instance."""

    def __init__(self, process: "subprocess.Popen[str]") -> None:
        self.process = process

    def handle(self, records: list[Record], seconds: float = 60) -> Mapping[str, Any]:
        """Return the answer to a batch; raise KilledError when there will be none."""
        assert self.process.stdin
        assert self.process.stdout
        try:
            self.process.stdin.write(json.dumps({"event": {"Records": records}, "seconds": seconds}) + "\n")
            self.process.stdin.flush()
        except BrokenPipeError as error:
            raise KilledError from error
        line = self.process.stdout.readline()
        if not line.endswith("\n"):
            raise KilledError
        answer: Mapping[str, Any] = json.loads(line)
        return answer

    def kill(self) -> None:
        """End it as a crash does: at once, with nothing cleaned up."""
        self.process.kill()
        self.process.wait()


@contextmanager
def running_instance(secrets_manager: str, sqs: str, **settings: object) -> Iterator[Instance]:
    """Run an instance against these endpoints until the end of the block. `settings` are its environment."""
    assert ARTIFACT.is_dir(), "there is no artifact: run make build"
    environment = {
        "PATH": os.environ["PATH"],
        "PYTHONPATH": str(ARTIFACT),
        "PYTHONDONTWRITEBYTECODE": "1",
        "AWS_REGION": "us-east-1",
        "AWS_DEFAULT_REGION": "us-east-1",
        "AWS_ACCESS_KEY_ID": "testing",
        "AWS_SECRET_ACCESS_KEY": "testing",
        "AWS_EC2_METADATA_DISABLED": "true",
        "AWS_ENDPOINT_URL_SECRETS_MANAGER": secrets_manager,
        "AWS_ENDPOINT_URL_SQS": sqs,
        "ALLOWED_REGIONS": "eu-west-1,us-west-2",
        "QUEUE_URL": QUEUE_URL,
        "DEAD_LETTER_QUEUE_URL": DEAD_LETTER_QUEUE_URL,
        "POWERTOOLS_SERVICE_NAME": "secret-replicator",
        "POWERTOOLS_METRICS_NAMESPACE": "SecretReplicator",
        **{name: str(value) for name, value in settings.items()},
    }
    process = subprocess.Popen(
        [sys.executable, "-c", _RUNTIME],
        env=environment,
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,
        text=True,
    )
    with process:
        try:
            yield Instance(process)
        finally:
            process.kill()

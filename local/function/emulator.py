"""Lambda's own runtime on this machine, without Docker: the Runtime Interface Emulator that sam brings.

It is the program that `sam local` puts into its containers:
https://github.com/aws/aws-lambda-runtime-interface-emulator. Here it starts the Python of this virtual
environment, which sees the function's folder and what the Lambda runtime brings, and nothing else. The
template's memory size is only told to the function: nothing here holds it to that.
"""

import json
import os
import platform
import socket
import subprocess
import sys
import time
import urllib.request
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from importlib.util import find_spec
from pathlib import Path
from typing import Any
from urllib.error import HTTPError

from local.aws.ministack import ADDRESS, free_port
from local.errors import LocalError
from local.function.template import Function
from local.process import processes
from local.process.environment import HOME_REGION, ROOT

ARTIFACT = ROOT / ".aws-sam/build/ReplicatorFunction"
"""What `make build` made."""

_RUNTIME = ("awslambdaric", "runtime_client", "simplejson", "snapshot_restore_py")
_BOTO3 = ("boto3", "botocore", "dateutil", "jmespath", "s3transfer", "six", "urllib3")
_PATH = "/2015-03-31/functions/function/invocations"
_ARCHITECTURES = {"x86_64": "x86_64", "amd64": "x86_64", "aarch64": "arm64", "arm64": "arm64"}
_START_SECONDS = 10
_POLL_SECONDS = 0.01
_GRACE_SECONDS = 30
"""How much longer than its timeout the function may take to answer: it is the emulator that ends it."""


@dataclass(frozen=True)
class Answer:
    """What came back: the handler's answer, or how it failed. `error_type` is empty if it did not."""

    payload: Any
    error_type: str = ""


@dataclass(frozen=True)
class Emulator:
    """A function in the emulator. Its first invocation is the cold start."""

    process: subprocess.Popen[bytes]
    url: str
    log: Path
    timeout_seconds: int

    def invoke(self, event: object) -> Answer:
        """Return what the function makes of the event; raise OSError if the emulator does not answer."""
        request = urllib.request.Request(self.url + _PATH, json.dumps(event).encode())  # noqa: S310  our own URL
        try:
            with urllib.request.urlopen(request, timeout=self.timeout_seconds + _GRACE_SECONDS) as response:  # noqa: S310
                return _answer(response.read().decode())
        except HTTPError as error:  # the runtime has ended: 502
            with error:
                return _answer(error.read().decode())


def _answer(text: str) -> Answer:
    try:
        payload = json.loads(text)
    except json.JSONDecodeError:
        return Answer(text, "Timeout" if text.startswith("Task timed out") else "Unknown")
    failed = isinstance(payload, dict) and {"errorType", "errorMessage"} <= payload.keys()
    return Answer(payload, payload["errorType"] if failed else "")


@contextmanager
def emulated(
    function: Function, code: Path, environment: Mapping[str, str], folder: Path
) -> Iterator[Emulator]:
    """Run the function in `code` until the end of the block; raise LocalError if the emulator does not start.

    `environment` is what only a deployment knows: credentials and endpoint. `folder` is for temporary files.
    """
    if not code.is_dir():
        raise LocalError(f"{code} is not there: run `make build`")
    address, runtime_api = (f"{ADDRESS}:{free_port()}" for _ in range(2))
    command = [
        *(str(_program()), "--log-level", "error"),
        *("--runtime-interface-emulator-address", address, "--runtime-api-address", runtime_api),
        # -S: without this virtual environment's packages, which Lambda does not have.
        *(sys.executable, "-S", "-m", "awslambdaric", function.handler),
    ]
    variables = _variables(function, code, lambda_packages(folder)) | dict(environment)
    log = folder / "emulator.log"
    with processes.running(command, variables, code, log) as process:
        _wait_until_up(process, address, log)
        yield Emulator(process, f"http://{address}", log, function.timeout_seconds)


def lambda_packages(folder: Path) -> Path:
    """Return a folder with what the Lambda runtime brings: boto3 with what it needs, and the runtime client.

    It is compiled before, as it is there; the function's own code is not, as it is when deployed.
    """
    packages = folder / "lambda-packages"
    if packages.is_dir():
        return packages
    packages.mkdir()
    origins = [installed(name) for name in (*_BOTO3, *_RUNTIME)]
    for origin in origins:
        (packages / origin.name).symlink_to(origin)
    # -E: beside the sources, where the runtime looks, whatever PYTHONPYCACHEPREFIX says.
    command = [sys.executable, "-E", "-m", "compileall", "-qq", *map(str, origins)]
    subprocess.run(command, check=True)  # noqa: S603  the command is this package's own
    return packages


def installed(name: str) -> Path:
    """Return the folder of a package, or a module's file; raise LocalError if it is not there."""
    spec = find_spec(name)
    if not spec or not spec.origin:
        raise LocalError(f"{name} is not in this virtual environment: run `make setup`")
    origin = Path(spec.origin)
    return origin.parent if origin.name == "__init__.py" else origin


def _program() -> Path:
    machine = platform.machine().lower()
    architecture = _ARCHITECTURES.get(machine)
    if platform.system() != "Linux" or not architecture:
        raise LocalError(
            f"The emulator runs on Linux, on x86_64 or arm64; this is {platform.system()} on {machine}. "
            "`sam local invoke` runs it in a container"
        )
    return installed("samcli") / "local/rapid" / f"aws-lambda-rie-{architecture}"


def _variables(function: Function, code: Path, packages: Path) -> dict[str, str]:
    """Return the environment of https://docs.aws.amazon.com/lambda/latest/dg/configuration-envvars.html."""
    return {
        "PATH": os.environ["PATH"],
        "PYTHONPATH": f"{code}{os.pathsep}{packages}",
        "PYTHONDONTWRITEBYTECODE": "1",  # /var/task cannot be written to
        "LANG": "C.UTF-8",
        "TZ": ":UTC",
        "LAMBDA_TASK_ROOT": str(code),
        "AWS_REGION": HOME_REGION,
        "AWS_DEFAULT_REGION": HOME_REGION,
        "AWS_EC2_METADATA_DISABLED": "true",
        "AWS_LAMBDA_FUNCTION_NAME": "ReplicatorFunction",
        "AWS_LAMBDA_FUNCTION_MEMORY_SIZE": str(function.memory_megabytes),
        "AWS_LAMBDA_FUNCTION_TIMEOUT": str(function.timeout_seconds),
        **function.environment,
    }


def _wait_until_up(process: subprocess.Popen[bytes], address: str, log: Path) -> None:
    host, _, port = address.partition(":")
    deadline = time.monotonic() + _START_SECONDS
    while process.poll() is None and time.monotonic() < deadline:
        with suppress(ConnectionRefusedError), socket.create_connection((host, int(port))):
            return
        time.sleep(_POLL_SECONDS)
    raise LocalError(f"The emulator did not start. Its last lines:\n{processes.last_lines(log)}")

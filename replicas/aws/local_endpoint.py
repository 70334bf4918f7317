"""Where the running `make local` is, for whoever wants to talk to it without a word of its address."""

import json
import os
import socket
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import asdict, dataclass
from pathlib import Path
from urllib.parse import urlsplit

import boto3
import botocore.session

from replicas.aws.checkout import in_checkout
from replicas.errors import OperatorError

ADDRESSES = Path(".aws-sam", "local")
"""Where each running `make local` has a file."""

_SECONDS = 2
KEY = "test"
"""Access key and secret key: what MiniStack takes for the account's root. Twelve digits name another."""


@dataclass(frozen=True)
class Address:
    """What leads to a local AWS, and the policy that its stack runs with."""

    endpoint: str
    ca_bundle: str
    region: str
    policy_file: str


@contextmanager
def published(address: Address, folder: Path | None = None) -> Iterator[None]:
    """Let others find the local AWS until the end of the block."""
    folder = folder or in_checkout(ADDRESSES)
    folder.mkdir(parents=True, exist_ok=True)
    file = folder / f"{urlsplit(address.endpoint).port}.json"
    file.write_text(json.dumps(asdict(address)), "utf-8")
    try:
        yield
    finally:
        file.unlink(missing_ok=True)


def read_address(folder: Path | None = None) -> Address:
    """Return where the newest local AWS is that is up; raise OperatorError if none is."""
    for _, file, written in sorted(_written(folder or in_checkout(ADDRESSES)), reverse=True):
        try:
            address = Address(**json.loads(written))
        except (TypeError, ValueError) as error:
            raise OperatorError(f"{file} cannot be read ({error}): start `make local` again") from error
        if _is_up(address):
            return address
    raise OperatorError("No local stack is up: start it with `make local` in another terminal")


def _written(folder: Path) -> Iterator[tuple[int, Path, str]]:
    for file in folder.glob("*.json"):
        with suppress(FileNotFoundError):  # it has ended meanwhile
            yield file.stat().st_mtime_ns, file, file.read_text("utf-8", errors="replace")


def _is_up(address: Address) -> bool:
    """Tell whether somebody answers there: what was killed leaves its address behind."""
    where = urlsplit(address.endpoint)
    with suppress(OSError), socket.create_connection((where.hostname or "", where.port or 0), _SECONDS):
        return Path(address.ca_bundle).is_file()
    return False


def local_policy(endpoint_url: str) -> Path | None:
    """Return the policy of the local stack if this is its endpoint, as in what `make local` exports."""
    try:
        address = read_address()
    except OperatorError:
        return None
    return Path(address.policy_file) if address.endpoint == endpoint_url.rstrip("/") else None


def local_session(region: str, key: str = KEY) -> boto3.Session:
    """Return a session that takes nothing from the person's AWS configuration."""
    own = {
        "profile": (None, None, None, None),
        "config_file": (None, None, os.devnull, None),
        "credentials_file": (None, None, os.devnull, None),
    }
    return boto3.Session(
        botocore_session=botocore.session.Session(own),
        aws_access_key_id=key,
        aws_secret_access_key=KEY,
        region_name=region,
    )

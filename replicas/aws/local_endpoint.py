"""Where the running `make local` is, for whoever wants to talk to it without a word of its address."""

import json
import os
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from pathlib import Path

import boto3
import botocore.session

from replicas.aws.checkout import in_checkout
from replicas.errors import OperatorError

ADDRESS_FILE = Path(".aws-sam", "local.json")
KEY = "test"
"""Access key and secret key: what MiniStack takes for the account's root."""


@dataclass(frozen=True)
class Address:
    """What leads to a local AWS, and the policy that its stack runs with."""

    endpoint: str
    ca_bundle: str
    region: str
    policy_file: str


@contextmanager
def published(address: Address, file: Path | None = None) -> Iterator[None]:
    """Let others find the local AWS until the end of the block: the newest one, then the one before."""
    file = file or in_checkout(ADDRESS_FILE)
    written = json.dumps(asdict(address))
    file.parent.mkdir(exist_ok=True)
    before = file.read_text("utf-8") if file.is_file() else ""
    file.write_text(written, "utf-8")
    try:
        yield
    finally:
        if file.is_file() and file.read_text("utf-8") == written:
            file.unlink()
            if _is_up(before):
                file.write_text(before, "utf-8")


def _is_up(written: str) -> bool:
    """Tell whether this address is of a local AWS that has not ended: its folder goes with it."""
    try:
        return Path(Address(**json.loads(written)).ca_bundle).is_file()
    except (TypeError, ValueError):
        return False


def read_address(file: Path | None = None) -> Address:
    """Return where the newest local AWS is; raise OperatorError if none is up."""
    file = file or in_checkout(ADDRESS_FILE)
    try:
        address = Address(**json.loads(file.read_text("utf-8")))
    except FileNotFoundError:
        address = None
    except (OSError, TypeError, ValueError) as error:
        raise OperatorError(f"{file} cannot be read ({error}): start `make local` again") from error
    if address is None or not Path(address.ca_bundle).is_file():
        raise OperatorError("No local stack is up: start it with `make local` in another terminal")
    return address


def local_session(region: str) -> boto3.Session:
    """Return a session that takes nothing from the person's AWS configuration."""
    own = {
        "profile": (None, None, None, None),
        "config_file": (None, None, os.devnull, None),
        "credentials_file": (None, None, os.devnull, None),
    }
    return boto3.Session(
        botocore_session=botocore.session.Session(own),
        aws_access_key_id=KEY,
        aws_secret_access_key=KEY,
        region_name=region,
    )

"""Which `make local` is found with `--local`: the newest that is up, however the others ended."""

import os
import socket
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path

import pytest

from replicas.aws.local_endpoint import Address, published, read_address
from replicas.errors import OperatorError


@contextmanager
def up(folder: Path) -> Iterator[Address]:
    """A local AWS that is up, and that others can find."""
    with socket.create_server(("127.0.0.1", 0)) as server:
        bundle = folder / "ca.pem"
        bundle.touch()
        address = Address(f"https://127.0.0.1:{server.getsockname()[1]}", str(bundle), "us-east-1", "policy")
        with published(address, folder):
            yield address


def age(folder: Path) -> None:
    """Make what is there older than what comes: a file system may know no fractions of a second."""
    for file in folder.glob("*.json"):
        os.utime(file, (file.stat().st_atime, file.stat().st_mtime - 10))


@pytest.mark.parametrize("ending", [(0, 1, 2), (0, 2, 1), (1, 0, 2), (1, 2, 0), (2, 0, 1), (2, 1, 0)])
def test_of_three_the_newest_that_is_up_is_found(tmp_path: Path, ending: tuple[int, ...]) -> None:
    started = []
    for _ in ending:
        age(tmp_path)
        one = ExitStack()
        started.append((one, one.enter_context(up(tmp_path))))
    running = dict(enumerate(started))
    for number in ending:
        assert read_address(tmp_path) == running[max(running)][1]
        running.pop(number)[0].close()
    with pytest.raises(OperatorError, match="No local stack is up"):
        read_address(tmp_path)


def test_what_was_killed_is_passed_over(tmp_path: Path) -> None:
    with up(tmp_path) as older:
        age(tmp_path)
        with up(tmp_path) as killed:
            (left,) = [file for file in tmp_path.glob("*.json") if killed.endpoint[-5:] in file.name]
            behind = left.read_text("utf-8")
        left.write_text(behind, "utf-8")
        assert read_address(tmp_path) == older


def test_what_cannot_be_read_is_one_sentence(tmp_path: Path) -> None:
    (tmp_path / "1.json").write_text("[]", "utf-8")
    with pytest.raises(OperatorError, match=r"cannot be read .*: start `make local` again"):
        read_address(tmp_path)

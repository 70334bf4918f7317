"""What is given to make is a name or a number, whatever stands in it: nothing of it is run."""

import os
import subprocess
from collections.abc import Callable
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]


@pytest.fixture
def make(tmp_path: Path) -> Callable[..., list[str]]:
    """Run make, and return what it gives to the Python that it runs."""
    python = tmp_path / "bin/python"
    python.parent.mkdir()
    python.write_text("#!/bin/sh\nprintf '%s\\n' \"$@\"\n", "utf-8")
    python.chmod(0o755)
    path = f"PATH={python.parent}:{os.environ['PATH']}"

    def run(*arguments: str) -> list[str]:
        command = ["make", "--silent", "--old-file=setup", "--old-file=build", path, *arguments]
        return subprocess.run(
            command, cwd=ROOT, capture_output=True, text=True, check=True
        ).stdout.splitlines()

    return run


@pytest.mark.parametrize("name", ["two words", "a;touch {}", "$(touch {})", "$(shell touch {})", "-x", "'"])
def test_the_name_of_an_event_is_taken_as_it_is(
    make: Callable[..., list[str]], tmp_path: Path, name: str
) -> None:
    made = tmp_path / "made"
    event = name.format(made)
    assert make("invoke", f"EVENT={event}") == ["-m", "local", "invoke", "--", event]
    assert not made.exists()


@pytest.mark.parametrize("name", ["PORT", "SECONDS_IN_PROGRESS", "WORLDS"])
def test_what_the_local_aws_is_given_is_taken_as_it_is(
    make: Callable[..., list[str]], tmp_path: Path, name: str
) -> None:
    made = tmp_path / "made"
    given = {"PORT": "1", "SECONDS_IN_PROGRESS": "2", "WORLDS": "repeat=refused", name: f"1;touch {made}"}
    worlds = f"seconds_in_progress={given['SECONDS_IN_PROGRESS']} {given['WORLDS']}"
    arguments = [f"{key}={value}" for key, value in given.items()]
    assert make("local", *arguments) == ["-m", "local", "up", "--port", given["PORT"], "--worlds", worlds]
    assert not made.exists()


def test_the_drill_is_played_in_the_world_that_is_given(
    make: Callable[..., list[str]], tmp_path: Path
) -> None:
    made = tmp_path / "made"
    assert make("drill") == ["-m", "local", "drill"]
    assert make("drill", f"WORLDS=a;touch {made}") == ["-m", "local", "drill", "--worlds", f"a;touch {made}"]
    assert not made.exists()


def test_a_replica_on_the_local_aws_is_in_progress_for_three_seconds(make: Callable[..., list[str]]) -> None:
    assert make("local") == ["-m", "local", "up", "--worlds", "seconds_in_progress=3 "]


def test_without_a_name_it_says_what_to_give() -> None:
    command = ["make", "--silent", "--old-file=setup", "--old-file=build", "invoke"]
    said = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False).stderr
    assert said.startswith("Name a file: make invoke EVENT=")

"""What is given to make is a name or a number, whatever stands in it: nothing of it is run."""

import subprocess
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]


def make(*arguments: str) -> str:
    command = ["make", "--silent", "--old-file=setup", "--old-file=build", *arguments]
    return subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False).stderr


@pytest.mark.parametrize("name", ["two words", "a;touch {}", "$(touch {})", "$(shell touch {})", "-x", "'"])
def test_the_name_of_an_event_is_taken_as_it_is(tmp_path: Path, name: str) -> None:
    made = tmp_path / "made"
    event = name.format(made)
    assert make("invoke", f"EVENT={event}").startswith(f"{event} is not a JSON file that can be read")
    assert not made.exists()


def test_a_port_is_taken_as_it_is(tmp_path: Path) -> None:
    made = tmp_path / "made"
    assert "a port is a number from 1 to 65535, not '1;touch" in make("local", f"PORT=1;touch {made}")
    assert not made.exists()


def test_without_a_name_it_says_what_to_give() -> None:
    assert make("invoke").startswith("Name a file: make invoke EVENT=")

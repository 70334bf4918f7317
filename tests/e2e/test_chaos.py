"""A small run of `make chaos` (docs/explanation/chaos.md), on a local AWS of its own."""

import sys
from pathlib import Path

import pytest

from tests.e2e.commands import running

pytestmark = pytest.mark.slow

SMALL = ["--secrets", "15", "--seed", "1", "--world", "both", "--attempts", "14", "--factor", "200"]


def test_thirty_secrets_under_every_fault_are_accounted_for(tmp_path: Path) -> None:
    with running([sys.executable, "-m", "tools.chaos", *SMALL], tmp_path) as chaos:
        assert chaos.end() == 0, chaos.out + chaos.err
    assert not chaos.err
    assert "Seed 1: 0 wrong, 0 writes too many in a second." in chaos.out

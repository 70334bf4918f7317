"""The fixtures of the world around the function, and of the commands beside it."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.support.desk import Desk, at_desk
from tests.support.world import log_lines, make_world, world

__all__ = ["log_lines", "world"]


@pytest.fixture
def desk(tmp_path: Path) -> Iterator[Desk]:
    with at_desk(make_world(tmp_path)) as desk:
        yield desk

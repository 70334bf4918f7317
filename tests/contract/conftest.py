"""The fixtures of the world around the function."""

from collections.abc import Iterator

import pytest

from local.aws.ministack import LocalAws, local_aws
from tests.support.world import log_lines, world

__all__ = ["log_lines", "world"]


@pytest.fixture(scope="session")
def strict_aws() -> Iterator[LocalAws]:
    """The local AWS with the strict Secrets Manager in MiniStack's process."""
    with local_aws() as aws:
        yield aws

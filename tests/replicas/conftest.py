"""The fixtures of the world around the function."""

from tests.support.world import log_lines, world

__all__ = ["log_lines", "world"]

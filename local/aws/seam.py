"""Replaces a part of MiniStack in its process. What is replaced is held by tests/contract/test_seam.py."""

from collections.abc import Callable
from functools import partial
from types import ModuleType
from typing import TypeVar

Part = TypeVar("Part", bound=Callable[..., object])


def in_place_of(module: ModuleType, name: str) -> Callable[[Part], Part]:
    """Put the function there. Its first argument is what it replaces, the rest what that would get."""

    def put(part: Part) -> Part:
        setattr(module, name, partial(part, getattr(module, name)))
        return part

    return put

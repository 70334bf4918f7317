"""Replaces a part of MiniStack in its process. What is replaced is held by tests/contract/test_seam.py."""

from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from contextvars import ContextVar
from functools import partial
from types import ModuleType
from typing import Any, TypeVar

Answer = tuple[int, dict[str, str], bytes]
Facts = Mapping[str, Any]
Own = Callable[..., Any]
"""What is replaced: the first argument of what replaces it."""

Part = TypeVar("Part", bound=Callable[..., object])
Value = TypeVar("Value")


def in_place_of(module: ModuleType, name: str) -> Callable[[Part], Part]:
    """Put the function there. Its first argument is what it replaces, the rest what that would get."""

    def put(part: Part) -> Part:
        setattr(module, name, partial(part, getattr(module, name)))
        return part

    return put


@contextmanager
def remembered(variable: ContextVar[Value], value: Value) -> Iterator[None]:
    """Let the variable have this value until the end of the block."""
    token = variable.set(value)
    try:
        yield
    finally:
        variable.reset(token)

"""Strategies for whatever may stand in a queue or a policy file: any JSON, and real documents gone wrong."""

from collections.abc import Iterator, Sequence
from typing import Any

from hypothesis import strategies as st

Path = tuple[str | int, ...]

# Every code point: NUL, line ends and lone surrogates too.
TEXTS = st.text(st.characters(exclude_categories=()), max_size=30)
SCALARS = st.one_of(
    st.none(), st.booleans(), st.integers(), st.just(10**4000), st.floats(), TEXTS, st.just("a" * 3000)
)


def nested(scalars: st.SearchStrategy[Any]) -> st.SearchStrategy[Any]:
    """Return values made of the scalars, lists and objects."""
    return st.recursive(
        scalars,
        lambda inner: st.lists(inner, max_size=3) | st.dictionaries(TEXTS, inner, max_size=3),
        max_leaves=6,
    )


JSON = nested(SCALARS)


def paths(value: object, at: Path = ()) -> Iterator[Path]:
    """Yield where in the document a value stands: the whole, each subtree, each leaf."""
    yield at
    if isinstance(value, dict):
        items: Iterator[tuple[str | int, Any]] = iter(value.items())
    else:
        items = enumerate(value) if isinstance(value, list) else iter(())
    for key, item in items:
        yield from paths(item, (*at, key))


def changed(value: object, path: Path, new: object) -> object:
    """Return a copy of the document in which the value at the path is `new`."""
    if not path:
        return new
    key, rest = path[0], path[1:]
    if isinstance(value, list):
        return [changed(item, rest, new) if number == key else item for number, item in enumerate(value)]
    return {**value, key: changed(value.get(key, {}), rest, new)}


@st.composite
def mutations(draw: st.DrawFn, documents: Sequence[object], new: st.SearchStrategy[Any] = JSON) -> object:
    """Return one of the documents with up to three subtrees or leaves replaced."""
    document = draw(st.sampled_from(documents))
    for _ in range(draw(st.integers(1, 3))):
        document = changed(document, draw(st.sampled_from([*paths(document)])), draw(new))
    return document

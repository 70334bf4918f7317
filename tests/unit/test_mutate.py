"""`make mutate` can break each promise: what it replaces is there once, and so are its tests."""

import pytest

from tools.mutate.__main__ import MUTATIONS, ROOT, Mutation


@pytest.mark.parametrize("mutation", MUTATIONS, ids=lambda mutation: mutation.promise)
def test_what_a_mutation_replaces_is_there_once(mutation: Mutation) -> None:
    assert (ROOT / mutation.file).read_text("utf-8").count(mutation.old) == 1
    assert mutation.old != mutation.new
    assert all((ROOT / test).exists() for test in mutation.tests.split())

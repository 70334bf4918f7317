"""What happened is answered only by a look that is surely later, and what is remembered is bounded."""

import sys

import pytest

from secret_replicator.followed import MAX_SECRETS, Followed

SECRET = "arn:aws:secretsmanager:us-east-1:123456789012:secret:orders/db-AbCdEf"


@pytest.mark.parametrize(("happened_at", "answered"), [(99.9, True), (100, False), (100.1, False)])
def test_only_what_happened_before_the_look_is_answered(happened_at: float, *, answered: bool) -> None:
    followed = Followed()
    followed.note(SECRET, 100)
    assert followed.answers(SECRET, happened_at) is answered


def test_nothing_is_known_of_another_secret() -> None:
    followed = Followed()
    followed.note(SECRET, 100)
    assert not followed.answers(SECRET.replace("orders", "order"), 1)
    assert not Followed().answers(SECRET, 1)


def test_the_latest_look_counts() -> None:
    followed = Followed()
    followed.note(SECRET, 100)
    followed.note(SECRET, 200)
    assert followed.answers(SECRET, 199)


def test_the_secrets_that_were_noted_longest_ago_are_forgotten() -> None:
    followed = Followed()
    followed.note("often", 1)
    followed.note("once", 1)
    for number in range(MAX_SECRETS - 1):
        followed.note("often", 2)
        followed.note(f"secret {number}", 1)
    assert len(followed._since) == MAX_SECRETS
    assert followed.answers("often", 1.5)
    assert not followed.answers("once", 0.5)
    assert sys.getsizeof(followed._since) < 1_000_000

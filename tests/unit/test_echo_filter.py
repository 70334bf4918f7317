"""What happened is answered only by a look that is surely later, and what is remembered is bounded."""

import pytest

from secret_replicator.echo_filter import MAX_SECRETS, EchoFilter

SECRET = "arn:aws:secretsmanager:us-east-1:123456789012:secret:orders/db-AbCdEf"


@pytest.mark.parametrize(("happened_at", "answered"), [(94.9, True), (95, False), (99, False), (101, False)])
def test_only_what_happened_well_before_the_attempt_is_answered(
    happened_at: float, *, answered: bool
) -> None:
    echo_filter = EchoFilter()
    echo_filter.note(SECRET, 100)
    assert echo_filter.answers(SECRET, happened_at) is answered


def test_nothing_is_known_of_another_secret() -> None:
    echo_filter = EchoFilter()
    echo_filter.note(SECRET, 100)
    assert not echo_filter.answers(SECRET.replace("orders", "order"), 1)
    assert not EchoFilter().answers(SECRET, 1)


def test_the_latest_attempt_counts() -> None:
    echo_filter = EchoFilter()
    echo_filter.note(SECRET, 100)
    echo_filter.note(SECRET, 200)
    assert echo_filter.answers(SECRET, 194)


def test_the_secrets_that_were_noted_longest_ago_are_forgotten() -> None:
    echo_filter = EchoFilter()
    echo_filter.note("often", 100)
    echo_filter.note("once", 100)
    for number in range(MAX_SECRETS - 1):
        echo_filter.note("often", 100)
        echo_filter.note(f"secret {number}", 100)
    assert echo_filter.answers("often", 1)
    assert not echo_filter.answers("once", 1)
    assert len(echo_filter._attempted_at) == MAX_SECRETS

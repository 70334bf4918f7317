"""When a message comes back, and what its dead letter says. The rest of work_queue.py needs queues."""

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from secret_replicator.work_queue import error_message, retry_delay_seconds

ARN = "arn:aws:secretsmanager:us-east-1:123456789012:secret:orders/db-AbCdEf"


@pytest.mark.parametrize(
    ("attempt", "seconds"), [(1, 10), (2, 20), (3, 40), (4, 80), (6, 320), (7, 640), (8, 900), (25, 900)]
)
def test_the_delay_doubles_up_to_fifteen_minutes(attempt: int, seconds: int) -> None:
    assert retry_delay_seconds(attempt, 0) == seconds


@pytest.mark.parametrize(("jitter", "seconds"), [(-1, 8), (-0.5, 9), (0.5, 11), (1, 12)])
def test_jitter_varies_the_delay_by_up_to_a_fifth(jitter: float, seconds: int) -> None:
    assert retry_delay_seconds(1, jitter) == seconds


@given(st.integers(1, 1_000), st.floats(-1, 1))
@example(1_000, 1.0)
def test_a_delay_stays_near_its_step_and_within_what_sqs_allows(attempt: int, jitter: float) -> None:
    step = min(900, 10 * 2 ** (attempt - 1))
    delay_seconds = retry_delay_seconds(attempt, jitter)
    assert isinstance(delay_seconds, int)
    assert 0.8 * step <= delay_seconds <= 1.2 * step
    assert 0 < delay_seconds <= 43_200


def test_ten_attempts_take_about_fifty_minutes() -> None:
    """The template says so in the Description of MaxAttempts."""
    minutes = sum(retry_delay_seconds(attempt, 0) for attempt in range(1, 10)) / 60
    assert minutes == pytest.approx(50, abs=3)


def test_a_dead_letter_says_which_secret_what_is_wrong_and_what_to_do() -> None:
    text = error_message(ARN, "eu-west-1 is Failed: taken", "rename it, then redrive")
    assert text == f"{ARN} - eu-west-1 is Failed: taken - rename it, then redrive"


ASCII = st.characters(codec="ascii")


@given(st.text(ASCII, max_size=300), st.text(ASCII, max_size=400), st.text(ASCII, max_size=300))
@example(ARN, "x" * 5_000, "mend it, then redrive")
@example("s" * 2_048, "x" * 5_000, "mend it, then redrive")
@example("s" * 500, "why", "r" * 2_000)
def test_a_dead_letters_text_is_never_too_long_and_keeps_what_a_person_needs(
    secret: str, reason: str, remedy: str
) -> None:
    text = error_message(secret, reason, remedy)
    whole = f"{secret} - {reason} - {remedy}"
    assert len(text) <= 1_024
    if len(whole) <= 1_024:
        assert text == whole
    if len(f"{secret} -  - {remedy}") <= 1_024:
        assert text.startswith(f"{secret} - ")
        assert text.endswith(f" - {remedy}")
        assert len(text) == min(1_024, len(whole)), "what fits of the reason must not be thrown away"

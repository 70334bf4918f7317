"""What an outcome tells a person, and the texts of errors."""

import pytest

from secret_replicator.errors import PolicyError, ReplicatorError
from secret_replicator.models import DRIFT_REMEDIES, Drift, Kind, Outcome, Problem

OREGON = Problem("us-west-2", "us-west-2 is Failed", "mend it, then redrive")
IRELAND = Problem("eu-west-1", "eu-west-1 is InProgress", "mend it, then redrive")
TAG = Problem("", "the tag is empty", "correct the tag")


def test_a_plain_outcome_has_nothing_to_say() -> None:
    outcome = Outcome(Kind.CONVERGED)
    assert (outcome.reason, outcome.regions, outcome.remedy) == ("", (), "")


def test_the_reason_of_a_skip_is_its_note() -> None:
    assert Outcome(Kind.SKIPPED, note="not_selected").reason == "not_selected"


def test_the_reason_names_every_problem() -> None:
    outcome = Outcome(Kind.FAILED, problems=(OREGON, IRELAND, TAG))
    assert outcome.reason == "us-west-2 is Failed; eu-west-1 is InProgress; the tag is empty"


def test_a_note_does_not_hide_the_problems() -> None:
    """Mode=plan is there to see what is wrong before anything is written."""
    outcome = Outcome(Kind.SKIPPED, note="plan_mode", problems=(TAG,))
    assert outcome.reason.startswith("plan_mode")
    assert TAG.text in outcome.reason


def test_the_regions_are_those_of_the_problems_once_and_in_order() -> None:
    assert Outcome(Kind.FAILED, problems=(OREGON, TAG, IRELAND, OREGON)).regions == ("eu-west-1", "us-west-2")


def test_a_remedy_that_helps_against_two_problems_is_said_once() -> None:
    outcome = Outcome(Kind.FAILED, problems=(OREGON, IRELAND, TAG))
    assert outcome.remedy == "mend it, then redrive; correct the tag"


@pytest.mark.parametrize("kind", Kind)
def test_the_kind_of_an_outcome_is_its_name_in_the_log(kind: Kind) -> None:
    assert str(kind) == kind.name.lower()


def test_an_error_says_what_is_wrong_and_what_to_do() -> None:
    error = ReplicatorError("it is wrong", "mend it")
    assert (error.problem, error.remedy, str(error)) == ("it is wrong", "mend it", "it is wrong - mend it")


def test_a_policy_error_shows_each_reason_on_its_own_line() -> None:
    error = PolicyError("policy.toml", ["[tag]: must be a table", "[groups] dr: must not be empty"])
    expected = "policy.toml is wrong:\n  [tag]: must be a table\n  [groups] dr: must not be empty"
    assert str(error) == expected


@pytest.mark.parametrize("kind", DRIFT_REMEDIES)
def test_each_kind_of_drift_says_what_can_be_done(kind: str) -> None:
    assert Drift("eu-west-1", kind).remedy == DRIFT_REMEDIES[kind]

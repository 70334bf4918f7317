"""The function's environment: what is wrong is said at cold start, by the name of the variable."""

from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from secret_replicator.errors import SettingsError
from secret_replicator.settings import PACKAGED_POLICY, Settings, read_settings
from tests.support.json_mutations import TEXTS

NEEDED = {
    "AWS_REGION": "us-east-1",
    "ALLOWED_REGIONS": "eu-west-1,us-west-2",
    "QUEUE_URL": "https://sqs.us-east-1.amazonaws.com/123456789012/ReplicationQueue",
    "DEAD_LETTER_QUEUE_URL": "https://sqs.us-east-1.amazonaws.com/123456789012/DeadLetterQueue",
}


def test_what_is_not_set_has_the_defaults_of_the_template() -> None:
    assert read_settings(NEEDED) == Settings(
        region="us-east-1",
        allowed_regions=("eu-west-1", "us-west-2"),
        mode="apply",
        allow_overwrite=False,
        prune_replicas=False,
        prune_idle_days=7,
        writes_per_second=20,
        maximum_concurrency=2,
        max_attempts=10,
        queue_url=NEEDED["QUEUE_URL"],
        dead_letter_queue_url=NEEDED["DEAD_LETTER_QUEUE_URL"],
        policy_file=PACKAGED_POLICY,
    )


def test_the_packaged_policy_is_there() -> None:
    assert PACKAGED_POLICY.is_file()


@pytest.mark.parametrize(
    ("name", "value", "field", "expected"),
    [
        ("MODE", "plan", "mode", "plan"),
        ("MODE", "apply", "mode", "apply"),
        ("ALLOW_OVERWRITE", "true", "allow_overwrite", True),
        ("ALLOW_OVERWRITE", "false", "allow_overwrite", False),
        ("PRUNE_REPLICAS", "true", "prune_replicas", True),
        ("PRUNE_REPLICAS", "false", "prune_replicas", False),
        ("PRUNE_IDLE_DAYS", "30", "prune_idle_days", 30),
        ("WRITES_PER_SECOND", "50", "writes_per_second", 50),
        ("MAXIMUM_CONCURRENCY", "7", "maximum_concurrency", 7),
        ("MAX_ATTEMPTS", "3", "max_attempts", 3),
        ("MAX_ATTEMPTS", "10.0", "max_attempts", 10),
        ("PRUNE_IDLE_DAYS", "7.00", "prune_idle_days", 7),
        ("POLICY_FILE", "/tmp/other.toml", "policy_file", Path("/tmp/other.toml")),  # noqa: S108  not written
        ("POLICY_FILE", "", "policy_file", PACKAGED_POLICY),
        ("ALLOWED_REGIONS", "eu-west-1", "allowed_regions", ("eu-west-1",)),
        ("ALLOWED_REGIONS", " eu-west-1 , us-west-2 ", "allowed_regions", ("eu-west-1", "us-west-2")),
    ],
)
def test_a_variable_sets_its_setting(name: str, value: str, field: str, expected: object) -> None:
    assert getattr(read_settings(NEEDED | {name: value}), field) == expected


@pytest.mark.parametrize("name", sorted(NEEDED))
@pytest.mark.parametrize("value", [None, ""])
def test_a_variable_that_is_missing_is_named(name: str, value: str | None) -> None:
    environment = {key: text for key, text in (NEEDED | {name: value}).items() if text is not None}
    with pytest.raises(SettingsError, match=f"{name} is not set"):
        read_settings(environment)


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("MODE", "Apply"),
        ("MODE", ""),
        ("MODE", "dry-run"),
        ("ALLOW_OVERWRITE", "True"),
        ("ALLOW_OVERWRITE", "yes"),
        ("ALLOW_OVERWRITE", ""),
        ("PRUNE_REPLICAS", "1"),
        ("PRUNE_REPLICAS", "on"),
        *(
            (name, value)
            for name in ("PRUNE_IDLE_DAYS", "WRITES_PER_SECOND", "MAXIMUM_CONCURRENCY", "MAX_ATTEMPTS")
            for value in (
                "",
                "7.5",
                "0.0",
                "10.",
                ".0",
                "0",
                "-1",
                "2.5",
                "1e1",
                "ten",
                " 5",
                "5\n",
                "٣",
                "1" * 5_000,
            )
        ),
        ("ALLOWED_REGIONS", "eu-west-1,"),
        ("ALLOWED_REGIONS", "*"),
        ("ALLOWED_REGIONS", "EU-WEST-1"),
        ("ALLOWED_REGIONS", "eu-west-1 us-west-2"),
        ("ALLOWED_REGIONS", "eu-west-1\nus-west-2"),
        ("ALLOWED_REGIONS", "Ireland"),
    ],
)
def test_a_variable_that_is_wrong_is_named(name: str, value: str) -> None:
    with pytest.raises(SettingsError, match=name):
        read_settings(NEEDED | {name: value})


def test_a_budget_that_leaves_an_instance_no_write_in_a_second_is_refused() -> None:
    """Its messages would go back unseen, time after time, until SQS gives them up without a reason."""
    few = NEEDED | {"WRITES_PER_SECOND": "5", "MAXIMUM_CONCURRENCY": "6"}
    with pytest.raises(SettingsError, match=r"WRITES_PER_SECOND.*at least MAXIMUM_CONCURRENCY"):
        read_settings(few)
    assert read_settings(few | {"WRITES_PER_SECOND": "6"}).writes_per_second == 6


NAMES = ["MODE", "ALLOW_OVERWRITE", "PRUNE_REPLICAS", "WRITES_PER_SECOND", "MAX_ATTEMPTS", "ALLOWED_REGIONS"]


@given(st.dictionaries(st.sampled_from(NAMES), TEXTS, max_size=3))
def test_any_environment_gives_settings_or_a_settings_error(changes: dict[str, str]) -> None:
    try:
        settings = read_settings(NEEDED | changes)
    except SettingsError:
        return
    assert settings.allow_overwrite == (changes.get("ALLOW_OVERWRITE") == "true")
    assert settings.prune_replicas == (changes.get("PRUNE_REPLICAS") == "true")

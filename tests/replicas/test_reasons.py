"""What `replicas explain` retells is what the policy decides, for any tags."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from replicas.inventory.explanation import places
from replicas.inventory.inventory import Seen
from replicas.suggest import suggestion
from secret_replicator.models import Decision, Secret
from secret_replicator.policy import desired_replicas, parse_policy
from secret_replicator.settings import read_settings

HOME = "us-east-1"
POLICY = parse_policy(
    """
[tag]
key = "replicate-to"
[groups]
dr = ["us-west-2", "us-east-1"]
europe = ["eu-west-1", "eu-central-1"]
[kms_keys]
eu-west-1 = "alias/all"
[[rules]]
match = { environment = "prod" }
regions = ["dr", "ap-south-1"]
[[rules]]
match = { residency = "eu" }
only = ["europe"]
[[rules]]
match = { team = "*" }
kms_keys = { eu-west-1 = "alias/team", us-west-2 = "alias/team" }
"""
)
SETTINGS = read_settings(
    {
        "AWS_REGION": HOME,
        "ALLOWED_REGIONS": "eu-west-1,us-west-2",
        "QUEUE_URL": "q",
        "DEAD_LETTER_QUEUE_URL": "d",
    }
)
WORDS = st.sampled_from(
    ["eu-west-1", "us-west-2", "eu-central-1", "dr", "europe", "all", "none", "mars", HOME]
)
TAGS = st.fixed_dictionaries(
    {},
    optional={
        "replicate-to": st.lists(WORDS, max_size=3).map(" ".join),
        "environment": st.sampled_from(["prod", "test"]),
        "residency": st.just("eu"),
        "team": st.just("payments"),
    },
)


@given(TAGS)
def test_the_regions_and_keys_that_are_explained_are_those_that_are_wanted(tags: dict[str, str]) -> None:
    desired = desired_replicas(POLICY, tags, HOME, SETTINGS.allowed_regions)
    seen = Seen(HOME, Secret("arn", "a", tags), Decision(desired))
    retold = places(seen)
    wanted = {(want.region, want.kms_key_id or "aws/secretsmanager") for want in desired.replicas}
    assert {(place.region, place.key) for place in retold if place.wanted} == wanted
    cut = {place.region for place in retold if place.cut}
    assert cut == {problem.region for problem in desired.problems} - {"", "mars"}


@pytest.mark.parametrize(
    ("word", "suggested"),
    [
        pytest.param("eu-wst-1", "eu-west-1", id="a letter left out"),
        pytest.param("EU_WEST_1", "eu-west-1", id="case and separators"),
        pytest.param("us-west-1", "us-west-2", id="another number"),
        pytest.param("banana", "", id="nothing like it"),
    ],
)
def test_the_nearest_word_is_named_if_it_is_near(word: str, suggested: str) -> None:
    assert suggestion(word, ["eu-west-1", "us-west-2", "europe"]) == suggested

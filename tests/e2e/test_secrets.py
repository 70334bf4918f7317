"""Each kind of secret of the demo, on the deployed stack."""

import pytest

from local.aws.observe import REASONS
from local.stack import ALLOWED_REGIONS
from tests.e2e.world import VALUE, World

pytestmark = pytest.mark.xdist_group("e2e")


def test_a_secret_tagged_with_two_regions_is_replicated_to_both(relayed: World) -> None:
    name = relayed.create({"replicate-to": "eu-west-1 us-west-2"})
    relayed.wait_for_replicas(name, "eu-west-1", "us-west-2")


def test_a_secret_tagged_with_a_group_is_replicated_to_its_regions(relayed: World) -> None:
    name = relayed.create({"replicate-to": "europe"})
    relayed.wait_for_replicas(name, "eu-central-1", "eu-west-1")


def test_a_secret_that_only_a_rule_selects_is_replicated(relayed: World) -> None:
    name = relayed.create({"environment": "prod", "criticality": "critical"})
    relayed.wait_for_replicas(name, "us-west-2")


def test_a_secret_with_no_tag_is_left_alone(relayed: World) -> None:
    name = relayed.create()
    relayed.wait(lambda: relayed.said(name) == ["skipped not_selected"])
    assert not relayed.replicas(name)
    assert not any(relayed.is_replica(name, region) for region in ALLOWED_REGIONS)


def test_a_secret_tagged_after_creation_is_replicated(relayed: World) -> None:
    name = relayed.create()
    relayed.wait(lambda: relayed.said(name) == ["skipped not_selected"])
    relayed.tag(name, {"replicate-to": "us-west-2"})
    relayed.wait_for_replicas(name, "us-west-2")


def test_a_wrong_region_does_not_stop_the_good_one_and_is_reported(relayed: World) -> None:
    name = relayed.create({"replicate-to": "eu-west-1 eu-wst-1"})
    dead_letter = relayed.dead_letter(name)
    assert relayed.replicas(name) == {"eu-west-1"}
    assert dead_letter.reasons.keys() == set(REASONS)
    assert dead_letter.reasons["SecretArn"] == relayed.arn(name)
    assert dead_letter.reasons["FailedRegions"] == "eu-wst-1"
    assert dead_letter.reasons["Attempts"] == "2"  # the first asked for the good one
    assert "eu-wst-1" in dead_letter.reasons["ErrorMessage"]
    assert VALUE not in dead_letter.body + "".join(dead_letter.reasons.values())
    relayed.delete_dead_letter(dead_letter)

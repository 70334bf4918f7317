"""The clients are botocore's own, and made with less work."""

from types import SimpleNamespace
from typing import Any

import pytest
from botocore.exceptions import UnknownServiceError
from botocore.loaders import Loader

from secret_replicator.clients import Clients, OurServices
from secret_replicator.outcome_events import CALL_SECONDS

HOME = "us-east-1"


@pytest.mark.parametrize("service", ["events", "secretsmanager", "sqs"])
@pytest.mark.parametrize("part", ["service-2", "endpoint-rule-set-1"])
def test_a_service_is_what_botocore_knows_of_it(service: str, part: str) -> None:
    assert OurServices().load_service_model(service, part) == Loader().load_service_model(service, part)


def test_a_service_that_is_not_ours_is_not_known() -> None:
    with pytest.raises(UnknownServiceError):
        OurServices().load_service_model("s3", "service-2")


def test_all_clients_are_of_the_same_region() -> None:
    clients = Clients("eu-west-1")
    made = (clients.secrets_in("eu-west-1"), clients.sqs(), clients.events())
    assert [client.meta.region_name for client in made] == 3 * ["eu-west-1"]


def test_a_session_makes_one_client_at_a_time() -> None:
    """It is not thread-safe: of two at a time one may lack a part."""
    alone: list[bool] = []
    session: Any = SimpleNamespace(create_client=lambda *_, **__: alone.append(clients._lock.locked()))
    clients = Clients(HOME, session)
    for make in (clients.sqs, clients.events, lambda: clients.secrets_in(HOME)):
        make()
    assert alone == [True] * 3


def test_an_outcome_event_takes_no_longer_than_the_function_counts_on() -> None:
    config = Clients(HOME).events().meta.config
    assert config.retries["total_max_attempts"] == 1, "what cannot be told is lost, and nothing else"
    assert config.connect_timeout + config.read_timeout <= CALL_SECONDS

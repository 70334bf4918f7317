"""The clients are botocore's own, and made with less work."""

from secret_replicator.clients import Clients
from secret_replicator.notices import CALL_SECONDS

HOME = "us-east-1"


def test_all_clients_are_of_the_same_region() -> None:
    clients = Clients("eu-west-1")
    made = (clients.secrets(), clients.sqs(), clients.events())
    assert [client.meta.region_name for client in made] == 3 * ["eu-west-1"]


def test_a_notice_takes_no_longer_than_the_function_counts_on() -> None:
    config = Clients(HOME).events().meta.config
    assert config.retries["total_max_attempts"] == 1, "what cannot be told is lost, and nothing else"
    assert config.connect_timeout + config.read_timeout <= CALL_SECONDS

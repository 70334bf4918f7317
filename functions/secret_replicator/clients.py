"""The clients of AWS, made with no more work than a cold start needs."""

import threading
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, cast

from botocore.config import Config
from botocore.loaders import Loader
from botocore.session import Session

if TYPE_CHECKING:
    from mypy_boto3_events import EventBridgeClient
    from mypy_boto3_secretsmanager import SecretsManagerClient
    from mypy_boto3_sqs import SQSClient


class OurServices(Loader):
    """Finds what botocore knows of our services, without a look into the folders of all the others.

    https://botocore.amazonaws.com/v1/documentation/api/latest/reference/loaders.html
    """

    def list_available_services(self, type_name: str) -> list[str]:  # noqa: ARG002
        """Return the services for which there is a model."""
        return ["events", "secretsmanager", "sqs"]


def _new_session() -> Session:
    session = Session()
    session.register_component("data_loader", OurServices())
    return session


@dataclass(frozen=True)
class Clients:
    """Makes the clients of one Region, and those that look into others.

    boto3 would only add what is not used here, and a tenth to the import.
    """

    region: str
    _session: Session = field(default_factory=_new_session)
    _lock: threading.Lock = field(default_factory=threading.Lock)
    """A session makes one client at a time: it is not thread-safe."""

    def secrets_in(self, region: str) -> "SecretsManagerClient":
        """Return a client of Secrets Manager in whatever Region: another is only read, and not for long.

        A retry would be a write that the budget knows nothing of: the message itself is tried again.
        """
        connect_seconds, read_seconds = (2, 5) if region == self.region else (1, 2)
        config = _config(1, connect_seconds, read_seconds)
        return cast("SecretsManagerClient", self._client("secretsmanager", config, region))

    def sqs(self) -> "SQSClient":
        """Return a client of SQS."""
        config = _config(attempts=2, connect_seconds=2, read_seconds=5)
        return cast("SQSClient", self._client("sqs", config))

    def events(self) -> "EventBridgeClient":
        """Return a client of EventBridge."""
        config = _config(attempts=1, connect_seconds=1, read_seconds=2)
        return cast("EventBridgeClient", self._client("events", config))

    def _client(self, service: str, config: Config, region: str = "") -> object:
        with self._lock:
            return self._session.create_client(service, region_name=region or self.region, config=config)


def _config(attempts: int, connect_seconds: int, read_seconds: int) -> Config:
    retries = {"mode": "standard", "total_max_attempts": attempts}
    return Config(
        connect_timeout=connect_seconds,
        read_timeout=read_seconds,
        retries=retries,  # type: ignore[arg-type]
    )

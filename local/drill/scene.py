"""Two Regions with a stack each, an owner of secrets, an application, and an operator who may be killed."""

import random
import time
from abc import ABC, abstractmethod
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING

import boto3
from botocore.config import Config
from botocore.exceptions import BotoCoreError, ClientError

from local.secrets_manager.worlds import Worlds
from replicas.aws.connection import connect
from replicas.aws.held import Held
from replicas.aws.region_secrets import RegionSecrets
from replicas.options import Access, Scope
from secret_replicator.budget import Budget

if TYPE_CHECKING:
    from mypy_boto3_secretsmanager import SecretsManagerClient

HOME, THERE, THIRD = "us-east-1", "us-west-2", "eu-west-1"
POLICY = f"""\
[tag]
key = "replicate-to"

[[rules]]                # as after a migration: what is in the way may be overwritten, a promoted copy never
match = {{ drill = "yes" }}
regions = ["{THERE}"]
overwrite = true
"""
SECRETS = 40


class KilledError(BaseException):
    """The operator's process is gone: nothing after this call happens."""


@dataclass
class Scene(ABC):
    """All there is. `kills` decides when the operator's process dies; without it, it lives."""

    folder: Path
    url: str
    worlds: Worlds
    clock: Callable[[], float] = time.time
    sleep: Callable[[float], None] = time.sleep
    kills: random.Random | None = None
    written: dict[str, str] = field(default_factory=dict)
    discarded: dict[str, str] = field(default_factory=dict)
    _calls_left: int = -1

    def __post_init__(self) -> None:
        self.policy.write_text(POLICY, "utf-8")

    @property
    def policy(self) -> Path:
        return self.folder / "policy.toml"

    @property
    def shows_promoted(self) -> bool:
        """Whether the old primary lists a promoted copy as anything but InSync."""
        return self.worlds.old_primary_shows != "stale"

    def access(self, region: str) -> Access:
        return Access(region, endpoint_url=self.url)

    @abstractmethod
    def scope(self) -> Scope:
        """Return how the operator reaches the home stack."""

    @abstractmethod
    def owner(self, region: str) -> "SecretsManagerClient":
        """Return the client of whoever makes secrets and gives them values."""

    @abstractmethod
    def read(self, region: str) -> dict[str, str | None]:
        """Return what an application with credentials of its own reads in a Region."""

    @abstractmethod
    def switch_off(self, region: str) -> None:
        """Let a Region answer nothing."""

    @abstractmethod
    def switch_on(self, region: str) -> None:
        """Let a Region answer again."""

    @abstractmethod
    def functions_run(self, *regions: str) -> None:
        """Let the function of each Region attend to every secret there, and return when it has."""

    @abstractmethod
    def reported(self, region: str, drift: str) -> list[str]:
        """Return each secret that the function of a Region reported with this drift, as often as it did."""

    def operators(self, access: Access, writes_per_second: float) -> RegionSecrets:
        """Return a Region as the operator reaches it, until the process is killed."""
        connection = connect(access)
        connection.secrets.meta.events.register("before-call", self._live_or_die)
        budget = Budget(writes_per_second, self.clock, self.sleep)
        return RegionSecrets(str(access.region), connection.secrets, connection.keys, budget)

    def _live_or_die(self, **_: object) -> None:
        if self._calls_left == 0:
            raise KilledError
        self._calls_left -= 1

    def through_kills(self, work: Callable[[], int]) -> int:
        """Do the operator's work, killed now and then and begun again."""
        for _ in range(self.kills.randrange(3) if self.kills else 0):
            self._calls_left = self.kills.randrange(1, 200) if self.kills else -1
            try:
                work()
            except KilledError:
                self.sleep(5)
            self._calls_left = -1
        return work()

    def state(self, region: str) -> str:
        """Return whether the operator gets an answer from a Region. Asked once: retries take a minute."""
        config = Config(retries={"total_max_attempts": 1})
        # A session of its own: boto3's default one keeps the key that it was first used with.
        session = boto3.Session(region_name=region)
        try:
            session.client("secretsmanager", endpoint_url=self.url, config=config).list_secrets(MaxResults=1)
        except (BotoCoreError, ClientError):
            return "off"
        return "on"

    def create(self, region: str, name: str, to: str) -> None:
        self.written[name] = f"{name} as created"
        tags = {"replicate-to": to} | ({"drill": "yes"} if to != "none" else {})
        self.owner(region).create_secret(
            Name=name,
            SecretString=self.written[name],
            Tags=[{"Key": key, "Value": value} for key, value in tags.items()],
        )

    def put(self, region: str, name: str) -> None:
        self.written[name] = f"{name} written in {region}"
        self.owner(region).put_secret_value(SecretId=name, SecretString=self.written[name])

    def held(self, region: str) -> list[Held]:
        """Return what a Region lists, by name."""
        return sorted(self.operators(self.access(region), 1).listed(), key=lambda held: held.name)

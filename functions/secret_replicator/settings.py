"""The function's environment, read and checked once at cold start."""

import re
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import NoReturn

from secret_replicator.errors import SettingsError
from secret_replicator.policy import REGION_CODE

_QUEUE_ACCOUNT = re.compile("/([0-9]{12})/[^/]+$")
_COUNTRY = re.compile("[a-z]{2}")
_PARTITIONS: Mapping[str, str] = {
    "cn": "aws-cn",
    "us-gov": "aws-us-gov",
    "us-iso": "aws-iso",
    "us-isob": "aws-iso-b",
    "eu-isoe": "aws-iso-e",
    "us-isof": "aws-iso-f",
    "eusc-de": "aws-eusc",
}
"""All but `aws` itself: https://docs.aws.amazon.com/whitepapers/latest/aws-fault-isolation-boundaries/partitions.html"""

PACKAGED_POLICY = Path(__file__).parent.parent / "policy.toml"


@dataclass(frozen=True)
class Settings:
    """What the template's parameters say, under their own names."""

    region: str
    allowed_regions: tuple[str, ...]
    mode: str
    allow_overwrite: bool
    prune_replicas: bool
    prune_idle_days: int
    writes_per_second: int
    maximum_concurrency: int
    max_attempts: int
    queue_url: str
    dead_letter_queue_url: str
    policy_file: Path
    publish_events: bool = True

    @property
    def account(self) -> str:
        """The stack's account, as its queue's URL has it; empty if it has none."""
        found = _QUEUE_ACCOUNT.search(self.queue_url)
        return found[1] if found else ""

    @property
    def partition(self) -> str:
        """The partition of the stack's Region; empty for a Region of a form that is not known."""
        area = self.region.rsplit("-", 2)[0]
        return _PARTITIONS.get(area, "aws" if _COUNTRY.fullmatch(area) else "")

    def prune_before(self, now: float) -> float | None:
        """Return since when a replica must not have been read to be removed; None if none may be."""
        return now - self.prune_idle_days * 24 * 60 * 60 if self.prune_replicas else None


def read_settings(environment: Mapping[str, str]) -> Settings:
    """Return the settings; raise SettingsError naming the variable that is missing or wrong."""
    read = _Reader(environment)
    writes_per_second = read.positive("WRITES_PER_SECOND", 20)
    maximum_concurrency = read.positive("MAXIMUM_CONCURRENCY", 2)
    if writes_per_second < maximum_concurrency:
        # Slower than one write a second, an instance could not get through a batch in its time.
        _wrong("WRITES_PER_SECOND", f"must be at least MAXIMUM_CONCURRENCY ({maximum_concurrency})")
    return Settings(
        region=read.text("AWS_REGION"),
        allowed_regions=read.regions("ALLOWED_REGIONS"),
        mode=read.one_of("MODE", "apply", "plan"),
        allow_overwrite=read.one_of("ALLOW_OVERWRITE", "false", "true") == "true",
        prune_replicas=read.one_of("PRUNE_REPLICAS", "false", "true") == "true",
        prune_idle_days=read.positive("PRUNE_IDLE_DAYS", 7),
        writes_per_second=writes_per_second,
        maximum_concurrency=maximum_concurrency,
        max_attempts=read.positive("MAX_ATTEMPTS", 10),
        queue_url=read.text("QUEUE_URL"),
        dead_letter_queue_url=read.text("DEAD_LETTER_QUEUE_URL"),
        policy_file=Path(environment.get("POLICY_FILE") or PACKAGED_POLICY),
        publish_events=read.one_of("PUBLISH_EVENTS", "true", "false") == "true",
    )


@dataclass(frozen=True)
class _Reader:
    environment: Mapping[str, str]

    def text(self, name: str) -> str:
        return self.environment.get(name) or _wrong(name, "is not set")

    def regions(self, name: str) -> tuple[str, ...]:
        regions = tuple(region.strip() for region in self.text(name).split(","))
        wrong = [region for region in regions if not REGION_CODE.fullmatch(region)]
        return regions if not wrong else _wrong(name, f"names what is not a Region: {', '.join(wrong)}")

    def one_of(self, name: str, default: str, other: str) -> str:
        value = self.environment.get(name, default)
        if value not in (default, other):
            _wrong(name, f"must be {default} or {other}, not {value!r}")
        return value

    def positive(self, name: str, default: int) -> int:
        value = self.environment.get(name, str(default))
        # CloudFormation's own Number may be given as 10.0.
        if not (found := re.fullmatch(r"([1-9][0-9]{0,5})(\.0{1,9})?", value)):
            _wrong(name, f"must be a whole number above 0, not {value!r}")
        return int(found[1])


def _wrong(name: str, problem: str) -> NoReturn:
    raise SettingsError(f"The environment variable {name} {problem}. The template's parameters set it.")

"""The AWS services that `doctor` and `smoke` ask, each made when it is needed."""

from dataclasses import dataclass, field
from functools import cached_property
from typing import TYPE_CHECKING

from replicas.aws.connection import Connection, connect
from replicas.options import Access

if TYPE_CHECKING:
    from mypy_boto3_account import AccountClient
    from mypy_boto3_cloudtrail import CloudTrailClient
    from mypy_boto3_cloudwatch import CloudWatchClient
    from mypy_boto3_events import EventBridgeClient
    from mypy_boto3_iam import IAMClient
    from mypy_boto3_kms import KMSClient
    from mypy_boto3_secretsmanager import SecretsManagerClient


@dataclass(frozen=True)
class Services:
    """AWS as one session sees it."""

    connection: Connection
    _secrets: "dict[str, SecretsManagerClient]" = field(default_factory=dict)

    @property
    def region(self) -> str:
        """The stack's Region; raise NoRegionError."""
        return self.connection.region

    @cached_property
    def account(self) -> "AccountClient":
        """Account Management, which is in one Region for all."""
        return self.connection.session.client("account", **self.connection.options)

    @cached_property
    def cloudwatch(self) -> "CloudWatchClient":
        """CloudWatch."""
        return self.connection.session.client("cloudwatch", **self.connection.options)

    @cached_property
    def events(self) -> "EventBridgeClient":
        """EventBridge."""
        return self.connection.session.client("events", **self.connection.options)

    @cached_property
    def iam(self) -> "IAMClient":
        """IAM."""
        return self.connection.session.client("iam", **self.connection.options)

    def cloudtrail(self, region: str) -> "CloudTrailClient":
        """Return CloudTrail in a Region."""
        return self.connection.session.client("cloudtrail", region_name=region, **self.connection.options)

    def keys(self, region: str) -> "KMSClient":
        """Return KMS in a Region."""
        return self.connection.session.client("kms", region_name=region, **self.connection.options)

    def secrets(self, region: str) -> "SecretsManagerClient":
        """Return Secrets Manager in a Region: a client for each, whose connection is kept."""
        if region not in self._secrets:
            self._secrets[region] = self.connection.session.client(
                "secretsmanager", region_name=region, **self.connection.options
            )
        return self._secrets[region]


def services(access: Access) -> Services:
    """Return the services; raise as `connect` does."""
    return Services(connect(access))

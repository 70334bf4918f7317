"""The secrets that the files of events/ name, as they are in the local AWS: nobody has looked at them yet."""

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from mypy_boto3_kms import KMSClient
    from mypy_boto3_secretsmanager import SecretsManagerClient

EXAMPLES = {"orders/db": "eu-west-1", "billing/api": "us-west-2"}
"""Name, and where its tag wants a replica."""

KEY_REGION = "us-west-2"


def create(secrets: "SecretsManagerClient") -> None:
    """Make the examples. Raise botocore's errors."""
    for name, region in EXAMPLES.items():
        secrets.create_secret(
            Name=name, SecretString="example", Tags=[{"Key": "replicate-to", "Value": region}]
        )


def create_key(keys: "KMSClient") -> str:
    """Make the key that local/policy.toml names, and return its id. Raise botocore's errors."""
    key = keys.create_key(Description="replicas of the payments team")["KeyMetadata"]["KeyId"]
    keys.create_alias(AliasName="alias/payments", TargetKeyId=key)
    return key

"""The secrets that the files of events/ name, as they are in the local AWS: nobody has looked at them yet."""

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from mypy_boto3_secretsmanager import SecretsManagerClient

EXAMPLES = {"orders/db-AbCdEf": "eu-west-1", "orders/db": "eu-west-1", "billing/api": "us-west-2"}
"""Name, and where its tag wants a replica.

events/create-secret.json names a secret whose ARN ends in `orders/db-AbCdEf`. MiniStack chooses the end of an
ARN itself, but finds a secret by how its ARN begins (AWS would not: to AWS the ARN in the file is complete).
Files that have no ARN name `orders/db`.
"""


def create(secrets: "SecretsManagerClient") -> None:
    """Make the examples. Raise botocore's errors."""
    for name, region in EXAMPLES.items():
        secrets.create_secret(
            Name=name, SecretString="example", Tags=[{"Key": "replicate-to", "Value": region}]
        )

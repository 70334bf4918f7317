"""boto3 clients that a handler answers in process."""

from typing import TYPE_CHECKING

import boto3
from botocore.config import Config

from local.secrets_manager import transport

if TYPE_CHECKING:
    from mypy_boto3_secretsmanager import SecretsManagerClient


def client_of(handle: transport.Handle, region: str) -> "SecretsManagerClient":
    """Return a client of Secrets Manager whose calls all go to `handle`."""
    config = Config(retries={"total_max_attempts": 2}, max_pool_connections=50)
    client = boto3.client("secretsmanager", region_name=region, config=config)
    transport.attach(handle, client)
    return client

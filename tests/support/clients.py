"""boto3 clients that a handler answers in process, and what tests make with others."""

import json
from typing import TYPE_CHECKING

import boto3
from botocore.config import Config

from local.secrets_manager import transport

if TYPE_CHECKING:
    from mypy_boto3_secretsmanager import SecretsManagerClient
    from mypy_boto3_sqs import SQSClient


def client_of(handle: transport.Handle, region: str) -> "SecretsManagerClient":
    """Return a client of Secrets Manager whose calls all go to `handle`."""
    config = Config(retries={"total_max_attempts": 2}, max_pool_connections=50)
    client = boto3.client("secretsmanager", region_name=region, config=config)
    transport.attach(handle, client)
    return client


def queue_for_rules(queues: "SQSClient", name: str) -> tuple[str, str]:
    """Return the URL and the ARN of a new queue that takes what EventBridge sends."""
    statement = {
        "Effect": "Allow",
        "Principal": {"Service": "events.amazonaws.com"},
        "Action": "sqs:SendMessage",
        "Resource": "*",
    }
    policy = json.dumps({"Version": "2012-10-17", "Statement": [statement]})
    url = queues.create_queue(QueueName=name, Attributes={"Policy": policy})["QueueUrl"]
    found = queues.get_queue_attributes(QueueUrl=url, AttributeNames=["QueueArn"])
    return url, found["Attributes"]["QueueArn"]

"""The handler that comes to mind first: one message after the other, as fast as AWS lets it."""

import json

import boto3
from botocore.exceptions import ClientError

secrets = boto3.client("secretsmanager")


def reconcile(body: str) -> None:
    secret = secrets.describe_secret(SecretId=json.loads(body)["secret_id"])
    tags = {tag["Key"]: tag["Value"] for tag in secret["Tags"]}
    there = {replica["Region"] for replica in secret.get("ReplicationStatus", [])}
    if missing := [region for region in tags["replicate-to"].split() if region not in there]:
        secrets.replicate_secret_to_regions(
            SecretId=secret["ARN"], AddReplicaRegions=[{"Region": region} for region in missing]
        )


def handler(event: dict, _context: object) -> dict:
    failures = []
    for record in event["Records"]:
        try:
            reconcile(record["body"])
        except ClientError:
            failures.append({"itemIdentifier": record["messageId"]})
    return {"batchItemFailures": failures}

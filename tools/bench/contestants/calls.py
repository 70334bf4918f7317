"""The two calls that a missing replica needs, and nothing else: what ours is measured beyond."""

import boto3

session = boto3.Session()
secrets = session.client("secretsmanager")


def handler(event: dict, _context: object) -> dict:
    secret = secrets.describe_secret(SecretId=event["secret_id"])
    answer = secrets.replicate_secret_to_regions(
        SecretId=secret["ARN"],
        AddReplicaRegions=[{"Region": "eu-west-1"}, {"Region": "us-west-2"}],
        ForceOverwriteReplicaSecret=False,
    )
    return {"outcome": "waiting", "secret": answer["ARN"]}

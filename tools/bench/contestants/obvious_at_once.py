"""The same, with as many threads as ours has: nothing limits what they write together."""

from concurrent.futures import ThreadPoolExecutor

from botocore.exceptions import ClientError
from obvious import reconcile


def _failure(record: dict) -> str:
    try:
        reconcile(record["body"])
    except ClientError:
        return record["messageId"]
    return ""


def handler(event: dict, _context: object) -> dict:
    with ThreadPoolExecutor(max_workers=10) as threads:
        failures = filter(None, threads.map(_failure, event["Records"]))
        return {"batchItemFailures": [{"itemIdentifier": message_id} for message_id in failures]}

"""The usual handler of Powertools' documentation: Logger, Tracer, Metrics, event classes, batch.

https://docs.aws.amazon.com/powertools/python/latest/utilities/batch/
"""

import boto3
from aws_lambda_powertools import Logger, Metrics, Tracer
from aws_lambda_powertools.metrics import MetricUnit
from aws_lambda_powertools.utilities.batch import BatchProcessor, EventType, process_partial_response
from aws_lambda_powertools.utilities.data_classes.sqs_event import SQSRecord
from aws_lambda_powertools.utilities.typing import LambdaContext

logger = Logger()
tracer = Tracer()
metrics = Metrics()
processor = BatchProcessor(event_type=EventType.SQS)
session = boto3.Session()
secrets = session.client("secretsmanager")
queue = session.client("sqs")


@tracer.capture_method
def record_handler(record: SQSRecord) -> None:
    secret = secrets.describe_secret(SecretId=record.json_body["secret_id"])
    logger.info("described", secret=secret["ARN"])
    metrics.add_metric(name="Described", unit=MetricUnit.Count, value=1)


@logger.inject_lambda_context
@tracer.capture_lambda_handler
@metrics.log_metrics
def handler(event: dict, context: LambdaContext) -> dict:
    return process_partial_response(
        event=event, record_handler=record_handler, processor=processor, context=context
    )

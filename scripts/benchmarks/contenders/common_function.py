"""The function as it is commonly written, as far as a cold start goes: with boto3, Powertools and all of Pillow.

Imported by benchmarks/coldstart.py with what `pip install --target` puts beside it, as most bundles are made.
"""

from __future__ import annotations

import os
from typing import Any

import boto3
from aws_lambda_powertools import Logger, Metrics, Tracer
from aws_lambda_powertools.metrics import MetricUnit
from aws_lambda_powertools.utilities.batch import BatchProcessor, EventType, process_partial_response
from aws_lambda_powertools.utilities.data_classes import S3Event
from aws_lambda_powertools.utilities.data_classes.sqs_event import SQSRecord
from PIL import Image

logger = Logger(service="images")
metrics = Metrics(namespace="images", service="images")
tracer = Tracer(service="images", disabled=True)
processor = BatchProcessor(event_type=EventType.SQS)

s3 = boto3.client("s3")
dynamodb = boto3.client("dynamodb")
sqs = boto3.client("sqs")

# Pillow does this at the first picture that is not among its five commonest formats, WebP for one.
Image.init()


def take(record: SQSRecord) -> None:
    for event in S3Event(record.json_body).records:
        s3.get_object(Bucket=event.s3.bucket.name, Key=event.s3.get_object.key)
        dynamodb.put_item(TableName=os.environ["IMGPIPE_TABLE"], Item={"image_key": {"S": event.s3.get_object.key}})
        metrics.add_metric(name="ImagesReady", unit=MetricUnit.Count, value=1)


@metrics.log_metrics
@tracer.capture_lambda_handler
@logger.inject_lambda_context
def handler(event: dict[str, Any], context: Any) -> Any:
    return process_partial_response(event=event, record_handler=take, processor=processor, context=context)

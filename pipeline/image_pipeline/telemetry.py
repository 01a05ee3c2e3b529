"""The function's logger and its metrics: every name that logs, alarms and dashboards rely on is given here, once."""

from __future__ import annotations

import logging
import os
from collections.abc import Mapping

from aws_lambda_powertools.logging import Logger
from aws_lambda_powertools.metrics import MetricUnit
from aws_lambda_powertools.metrics.provider.cloudwatch_emf.cloudwatch import AmazonCloudWatchEMFProvider

NAMESPACE = "imgpipe"
SERVICE = os.environ.get("IMGPIPE_STACK", "imgpipe")

logger = Logger(service=SERVICE, use_rfc3339=True, utc=True)

# With JSON logs Lambda sets the root logger to INFO, and botocore tells where it found its credentials.
logging.getLogger("botocore").setLevel(logging.WARNING)

UNITS = {
    "ImagesReady": MetricUnit.Count,
    "ImagesFailed": MetricUnit.Count,
    "ImagesDeleted": MetricUnit.Count,
    "ImagesRetried": MetricUnit.Count,
    "MessagesRejected": MetricUnit.Count,
    "ColdStart": MetricUnit.Count,
    "BytesIn": MetricUnit.Bytes,
    "BytesOut": MetricUnit.Bytes,
    "ProcessingTime": MetricUnit.Milliseconds,
    "EndToEndLatency": MetricUnit.Milliseconds,
}


def emit(values: Mapping[str, float], *, code: str | None = None) -> None:
    """Print one embedded-metric line: `values` under the dimension [service], and [service, code] where given.

    CloudWatch turns the line into metrics without an API call. A new dimension value is a new metric that costs money
    every month, so only the few refusal codes ever become one.
    """
    metrics = AmazonCloudWatchEMFProvider(namespace=NAMESPACE, service=SERVICE)
    for name, value in values.items():
        metrics.add_metric(name=name, unit=UNITS[name], value=value)
    if code is not None:
        metrics.add_dimensions(service=SERVICE, code=code)
    metrics.flush_metrics()

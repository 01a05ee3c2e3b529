"""The Lambda entry: an envelope in, a partial-batch response out; nothing else."""

from __future__ import annotations

import os
import random
import time
from datetime import UTC, datetime
from functools import cache
from typing import Any

from image_pipeline.catalog import Catalog
from image_pipeline.clients import client
from image_pipeline.events import ImageEvent, Message, NotAnEventError, images, is_from_queue, messages
from image_pipeline.faults import TransientError
from image_pipeline.process import Outcome, Worker
from image_pipeline.settings import Settings
from image_pipeline.storage import Storage
from image_pipeline.telemetry import emit, logger

settings = Settings.from_environment(os.environ)

_worker = Worker(
    settings=settings,
    storage=Storage(client("s3", attempts=3), settings),
    catalog=Catalog(client("dynamodb", attempts=1), settings.table),
)
_cold = True


def handler(event: Any, context: Any) -> dict[str, Any] | None:
    """Process what Lambda delivers.

    From SQS: returns `{"batchItemFailures": [{"itemIdentifier": message id}, …]}`, so that only what failed comes back.
    From S3 or EventBridge directly: raises where something has to be tried again, so that Lambda's own retry applies.
    """
    _worker.request_id = context.aws_request_id
    if is_from_queue(event):
        failed = [message.id for message in messages(event) if not _take(message, context)]
        return {"batchItemFailures": [{"itemIdentifier": one} for one in failed]}
    for image in images(event, settings.input_bucket):
        if _settle(image, receive_count=1, last=False):
            raise TransientError(f"The object {image.key!r} may not be read")
    return None


def _take(message: Message, context: Any) -> bool:
    """Work on one message; False when it has to come back, its visibility timeout then set to the back-off."""
    last = message.receive_count >= settings.max_receives
    if message.receive_count > 1:
        # A worker that died of this message may die again: then it should come back soon, not in six timeouts.
        _set_visibility(message, context.get_remaining_time_in_millis() // 1000 + 10)
    try:
        found = message.images(settings.input_bucket)
    except NotAnEventError as error:
        logger.error("Not an S3 event of this pipeline: %s", error, extra={"message_id": message.id})
        emit({"MessagesRejected": 1})
        _set_visibility(message, 1)
        return False
    done = [_attempt(image, message, last) for image in found]
    if all(done):
        return True
    _set_visibility(message, 1 if last else _back_off(message.receive_count))
    return False


def _attempt(image: ImageEvent, message: Message, last: bool) -> bool:
    try:
        passing = _settle(image, receive_count=message.receive_count, last=last)
    except Exception as error:
        with logger.append_context_keys(image_key=image.key, request_id=_worker.request_id):
            _log_failure(error, message.receive_count, last)
            emit({"ImagesRetried": 1})
            if last:
                _give_up(image, str(error))
        return False
    return last or not passing


def _settle(image: ImageEvent, *, receive_count: int, last: bool) -> bool:
    """Do the work and report it; whether another look is worth it, because permission to read is missing."""
    started = time.perf_counter()
    with logger.append_context_keys(image_key=image.key, request_id=_worker.request_id):
        # Before the work: of a worker that is killed, this line is all that tells which image it was.
        logger.info("Received", extra={"receive_count": receive_count})
        outcome = _worker.settle(image, last_receive=last)
        _report(image, outcome, (time.perf_counter() - started) * 1000)
    return outcome.passing


def _give_up(image: ImageEvent, reason: str) -> None:
    try:
        if _worker.give_up(image, f"The last attempt ended with: {reason}"):
            emit({"ImagesFailed": 1}, code="crashed")
    except Exception as error:
        logger.error("The failure could not be recorded: %s", error)


def _log_failure(error: Exception, receive_count: int, last: bool) -> None:
    extra = {"receive_count": receive_count, "error": str(error)}
    if isinstance(error, TransientError):
        logger.warning("Dead-lettered" if last else "Will be tried again", extra=extra)
    else:
        logger.exception("Unexpected error", extra=extra)


def _report(image: ImageEvent, outcome: Outcome, elapsed_ms: float) -> None:
    """How it ended, in one log line and one line of metrics."""
    global _cold
    record = outcome.record
    values: dict[str, float] = {"ProcessingTime": elapsed_ms, "ColdStart": int(_cold)}
    _cold = False
    if outcome.what == "unchanged":
        logger.info("Nothing to do: the record already says so")
    elif record is None:
        logger.info("Deleted: the object is gone, so are its outputs and its record")
        values["ImagesDeleted"] = 1
    else:
        values["BytesIn"] = record.source.bytes or 0
        if image.time is not None:
            values["EndToEndLatency"] = max(0.0, (datetime.now(UTC) - image.time).total_seconds() * 1000)
        details: dict[str, Any] = {"status": record.status.value, "timings_ms": dict(record.timings_ms)}
        if record.failure is not None:
            details |= {"code": record.failure.code.value, "reason": record.failure.reason}
            logger.warning("Failed: the image was refused", extra=details)
            emit({"ImagesFailed": 1}, code=record.failure.code)
        else:
            made = [f"{one.name} {one.width}x{one.height}" for one in record.outputs]
            details |= {"width": record.width, "height": record.height, "made": made, "notes": list(record.notes)}
            logger.info("Ready", extra=details)
            values["ImagesReady"] = 1
            values["BytesOut"] = sum(one.bytes for one in record.outputs)
    emit(values)


def _back_off(receive_count: int) -> int:
    """Seconds until the next try: longer with every receive, jittered so that a burst does not come back as one."""
    step = settings.backoff[min(receive_count, len(settings.backoff)) - 1]
    return max(1, round(step * random.uniform(0.75, 1.25)))  # noqa: S311 (jitter, not a secret)


@cache
def _queue() -> Any:
    """The client of SQS, made for the first message that has to come back: most environments never see one."""
    return client("sqs", attempts=1)


def _set_visibility(message: Message, seconds: int) -> None:
    """Ask SQS to deliver the message again after `seconds`. Best effort: the queue's own timeout stands behind it."""
    if settings.queue_url is None:
        return
    try:
        _queue().change_message_visibility(
            QueueUrl=settings.queue_url,
            ReceiptHandle=message.receipt_handle,
            VisibilityTimeout=min(43_200, seconds),
        )
    except Exception as error:
        logger.warning("The visibility timeout could not be changed: %s", error)

"""One small picture through the whole pipeline, to see that a deploy works and not only that it succeeded."""

from __future__ import annotations

import io
import time
import uuid
from dataclasses import dataclass

from image_pipeline.record import ImageRecord
from imgpipe import images
from imgpipe.aws import Clients
from imgpipe.errors import ImgpipeError
from imgpipe.sources import Item
from imgpipe.stack.names import StackOutputs
from imgpipe.targets.base import Progress

PREFIX = ".imgpipe-canary/"
"""Where the pictures of canaries lie while they are under way."""

_PATIENCE = 180.0  # seconds; the first call of a new function can be slow, and a message that is lost comes again
_SWEEP = 60.0
_MEGAPIXELS = 0.05


@dataclass(frozen=True, slots=True)
class Canary:
    """A picture that came through, in `seconds`, with the names of its renditions."""

    key: str
    seconds: float
    renditions: tuple[str, ...]


def sing(clients: Clients, outputs: StackOutputs, formats: str, account: str, progress: Progress) -> Canary:
    """Send a picture, wait for its record, see that every rendition is there, and remove all of it again.

    `formats` is the template's parameter: what the pipeline accepts, "" for its default. A recipe may make nothing
    of so small a picture. Raises ImgpipeError (`canary_failed`) where it does not come through; what was sent is
    removed then as well.
    """
    key = f"{PREFIX}{uuid.uuid4().hex}"
    started = time.monotonic()
    progress("Sending a test image through the pipeline")
    try:
        record = _send(clients, outputs, _picture(key, formats))
        found = [*record.renditions, *([record.thumbnail] if record.thumbnail else [])]
        for one in found:
            clients["s3"].head_object(Bucket=one.bucket, Key=one.key, ExpectedBucketOwner=account)
        return Canary(key, round(time.monotonic() - started, 1), tuple(one.name for one in record.renditions))
    finally:
        progress("Removing the test image")
        _sweep(clients, outputs, key, account)


def _picture(key: str, formats: str) -> Item:
    """A photograph in a format that the pipeline takes."""
    from imgpipe.sample import sample_photo

    data, accepted = sample_photo(_MEGAPIXELS), [one.strip() for one in formats.split(",") if one.strip()]
    if not accepted or "jpeg" in accepted:
        return Item(key, "a test image", "image/jpeg", data)
    from PIL import Image

    file = io.BytesIO()
    with Image.open(io.BytesIO(data)) as photo:
        photo.save(file, accepted[0].upper())
    return Item(key, "a test image", f"image/{accepted[0]}", file.getvalue())


def _send(clients: Clients, outputs: StackOutputs, item: Item) -> ImageRecord:
    upload = images.Upload(
        clients,
        outputs.input_bucket,
        outputs.table,
        user="imgpipe-canary",
        concurrency=1,
        wait=True,
        timeout=_PATIENCE,
    )
    [result] = upload.results([item])
    if result.state != "ready" or result.record is None:
        failure = result.record.failure if result.record else None
        raise _failed(failure.reason if failure else result.error)
    return result.record


def _sweep(clients: Clients, outputs: StackOutputs, key: str, account: str) -> None:
    """Remove every version of the picture, and what the pipeline does not remove of its own accord."""
    from botocore.exceptions import BotoCoreError, ClientError

    s3 = clients["s3"]
    try:
        listed = s3.list_object_versions(Bucket=outputs.input_bucket, Prefix=key, ExpectedBucketOwner=account)
        for one in (*listed.get("Versions", ()), *listed.get("DeleteMarkers", ())):
            s3.delete_object(
                Bucket=outputs.input_bucket,
                Key=one["Key"],
                VersionId=one["VersionId"],
                ExpectedBucketOwner=account,
            )
        if images.wait_until_gone(clients, outputs.table, [key], _SWEEP):
            clients["dynamodb"].delete_item(TableName=outputs.table, Key={"image_key": {"S": key}})
        for bucket in (outputs.resized_bucket, outputs.thumbnails_bucket):
            images.remove(clients, bucket, images.keys_below(clients, bucket, f"{key}/"))
    except (BotoCoreError, ClientError):
        return  # a test image that stays is no reason to call a deploy failed, nor to hide why it did


def _failed(reason: str) -> ImgpipeError:
    return ImgpipeError(
        "canary_failed",
        f"The stack is up, but a test image did not come through: {reason.rstrip('.')}.",
        "imgpipe logs --errors, then imgpipe status",
    )

"""Removing everything that a bucket holds, whatever it is called, and then the bucket."""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence
from typing import Any

from imgpipe.stack.waiting import error_code

_BATCH = 1000  # what one DeleteObjects takes
_ROUNDS = 5  # a worker that had already begun may write once more
_NOT_XML = re.compile("[^\t\n\r\x20-\ud7ff\ue000-\ufffd\U00010000-\U0010ffff]")


def remove_bucket(s3: Any, bucket: str, account: str, removed: Callable[[int], None]) -> None:
    """Empty a bucket of versions, delete markers and unfinished uploads, and delete it.

    `removed` is told, again and again, how many objects are gone so far. A bucket that is not there is no error; one
    that cannot be emptied stays.
    """
    from botocore.exceptions import ClientError

    for _ in range(_ROUNDS):
        try:
            _empty(s3, bucket, account, removed)
            s3.delete_bucket(Bucket=bucket, ExpectedBucketOwner=account)
            return
        except ClientError as error:
            if error_code(error) == "NoSuchBucket":
                return
            if error_code(error) != "BucketNotEmpty":
                raise


def _empty(s3: Any, bucket: str, account: str, removed: Callable[[int], None]) -> None:
    ours = {"Bucket": bucket, "ExpectedBucketOwner": account}
    for page in s3.get_paginator("list_multipart_uploads").paginate(**ours):
        for upload in page.get("Uploads", ()):
            s3.abort_multipart_upload(**ours, Key=upload["Key"], UploadId=upload["UploadId"])
    gone, before = 0, None
    while True:
        # Always the first page: what it lists is deleted before the next look. A page that comes again cannot be.
        page = s3.list_object_versions(**ours, MaxKeys=_BATCH)
        listed = [
            {"Key": one["Key"], "VersionId": one["VersionId"]}
            for one in (*page.get("Versions", ()), *page.get("DeleteMarkers", ()))
        ]
        if not listed or listed == before:
            return
        before = listed
        gone += delete_versions(s3, bucket, account, listed)
        removed(gone)


def delete_versions(s3: Any, bucket: str, account: str, versions: Sequence[dict[str, str]]) -> int:
    """Delete versions and delete markers; how many of them are gone."""
    from botocore.exceptions import ClientError

    ours = {"Bucket": bucket, "ExpectedBucketOwner": account}
    sendable = [one for one in versions if not _NOT_XML.search(one["Key"])]
    # S3 takes any character in a URL, but a list of keys is XML, which has no control characters.
    alone = [one for one in versions if _NOT_XML.search(one["Key"])]
    deleted = 0
    for start in range(0, len(sendable), _BATCH):
        batch = sendable[start : start + _BATCH]
        answer = s3.delete_objects(**ours, Delete={"Objects": batch, "Quiet": True})
        errors = answer.get("Errors", ())
        deleted += len(batch) - len(errors)
        alone += [{"Key": one["Key"], "VersionId": one["VersionId"]} for one in errors if one.get("VersionId")]
    for one in alone:
        try:
            s3.delete_object(**ours, **one)
            deleted += 1
        except ClientError as error:
            if error_code(error) in ("NoSuchBucket", "ExpiredToken"):
                raise
    return deleted

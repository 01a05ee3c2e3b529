"""The bucket that the function's code is deployed from, shared by every stage of an account and region."""

from __future__ import annotations

import base64
import json
from collections.abc import Callable, Collection
from typing import Any

from imgpipe.aws import Clients
from imgpipe.errors import ExitStatus, ImgpipeError
from imgpipe.stack.bundle import Bundle
from imgpipe.stack.names import Identity
from imgpipe.stack.waiting import error_code, poll
from imgpipe.targets.base import Progress


def code_key(bundle: Bundle) -> str:
    """The key that a bundle is kept under, known before it is there."""
    return f"{bundle.name}.zip"


def store(clients: Clients, bucket: str, owner: Identity, bundle: Bundle, progress: Progress) -> str:
    """Put the bundle under its name unless it is there, making the bucket where needed; the key of the bundle.

    Raises ImgpipeError where the bucket belongs to another account.
    """
    from botocore.exceptions import ClientError

    s3, key = clients["s3"], code_key(bundle)
    try:
        s3.head_object(Bucket=bucket, Key=key, ExpectedBucketOwner=owner.account)
        return key
    except ClientError as error:
        if error_code(error) not in ("404", "NoSuchKey", "NoSuchBucket", "403"):
            raise
    _ensure_bucket(s3, bucket, owner, clients.connection.region, progress)
    progress("Uploading the function's code")
    s3.put_object(
        Bucket=bucket,
        Key=key,
        Body=bundle.data,
        ContentType="application/zip",
        ChecksumSHA256=base64.b64encode(bytes.fromhex(bundle.sha256)).decode(),
        ExpectedBucketOwner=owner.account,
    )
    return key


def _ensure_bucket(s3: Any, bucket: str, owner: Identity, region: str, progress: Progress) -> None:
    """Make the bucket ours and private. Every setting is put again, in case an earlier run was cut short."""
    from botocore.exceptions import ClientError

    where = {} if region == "us-east-1" else {"CreateBucketConfiguration": {"LocationConstraint": region}}
    try:
        s3.head_bucket(Bucket=bucket, ExpectedBucketOwner=owner.account)
    except ClientError as error:
        if error_code(error) != "404":
            raise _not_ours(bucket, owner.account) from error
        progress("Creating the bucket for code")
        try:
            _undisturbed(lambda: s3.create_bucket(Bucket=bucket, **where))
        except ClientError as refusal:
            if error_code(refusal) == "BucketAlreadyExists":
                raise _not_ours(bucket, owner.account) from refusal
            if error_code(refusal) != "BucketAlreadyOwnedByYou":  # another run was faster
                raise
    ours = {"Bucket": bucket, "ExpectedBucketOwner": owner.account}
    blocked = ("BlockPublicAcls", "IgnorePublicAcls", "BlockPublicPolicy", "RestrictPublicBuckets")
    sse = {"Rules": [{"ApplyServerSideEncryptionByDefault": {"SSEAlgorithm": "AES256"}}]}
    settings: tuple[Callable[[], Any], ...] = (
        lambda: s3.put_public_access_block(**ours, PublicAccessBlockConfiguration=dict.fromkeys(blocked, True)),
        lambda: s3.put_bucket_versioning(**ours, VersioningConfiguration={"Status": "Enabled"}),
        lambda: s3.put_bucket_encryption(**ours, ServerSideEncryptionConfiguration=sse),
        lambda: s3.put_bucket_policy(**ours, Policy=json.dumps(_tls_only(bucket, owner.partition))),
    )
    for put in settings:
        _undisturbed(put)


def _undisturbed(call: Callable[[], Any]) -> None:
    """Make a call again while S3 answers that another one changes the same bucket."""
    from botocore.exceptions import ClientError

    disturbance: list[ClientError] = []

    def once() -> bool | None:
        try:
            call()
        except ClientError as error:
            if error_code(error) != "OperationAborted":
                raise
            disturbance.append(error)
            return None
        return True

    if poll(once, 30) is None:
        raise disturbance[-1]


def _tls_only(bucket: str, partition: str) -> dict[str, Any]:
    arn = f"arn:{partition}:s3:::{bucket}"
    return {
        "Version": "2012-10-17",
        "Statement": [
            {
                "Sid": "TlsOnly",
                "Effect": "Deny",
                "Principal": "*",
                "Action": "s3:*",
                "Resource": [arn, f"{arn}/*"],
                "Condition": {"Bool": {"aws:SecureTransport": "false"}},
            }
        ],
    }


def _not_ours(bucket: str, account: str) -> ImgpipeError:
    return ImgpipeError(
        "artifact_bucket_taken",
        f"The bucket {bucket} does not belong to account {account}, or the credentials may not use it; "
        "code is only deployed from a bucket of one's own.",
        "imgpipe --profile NAME up",
        ExitStatus.REFUSED,
    )


def used_keys(clients: Clients, prefix: str, *, but: str) -> set[str]:
    """The code keys of every stack whose name starts with `prefix`, the one called `but` left out."""
    pages = clients["cloudformation"].get_paginator("describe_stacks").paginate()
    return {
        parameter["ParameterValue"]
        for page in pages
        for stack in page["Stacks"]
        if stack["StackName"].startswith(prefix) and stack["StackName"] != but
        if stack["StackStatus"] != "DELETE_COMPLETE"
        for parameter in stack.get("Parameters", ())
        if parameter["ParameterKey"] == "CodeKey"
    }


def unused_versions(
    clients: Clients, bucket: str, account: str, keys_in_use: Collection[str]
) -> tuple[list[dict[str, str]], bool]:
    """Versions of code that no stack runs, as DeleteObjects takes them, and whether anything else is there."""
    kept, unused = False, []
    pages = clients["s3"].get_paginator("list_object_versions").paginate(Bucket=bucket, ExpectedBucketOwner=account)
    for page in pages:
        for one in (*page.get("Versions", ()), *page.get("DeleteMarkers", ())):
            if one["Key"] in keys_in_use:
                kept = True
            else:
                unused.append({"Key": one["Key"], "VersionId": one["VersionId"]})
    return unused, kept

"""What the input bucket tells others: a bucket has one list of notifications, and a deploy would write over it."""

from __future__ import annotations

from typing import Any

from imgpipe.aws import Clients
from imgpipe.errors import ExitStatus, ImgpipeError
from imgpipe.stack.names import Names
from imgpipe.stack.plan import Plan
from imgpipe.stack.waiting import error_code

EVENTS = ("s3:ObjectCreated:*", "s3:ObjectRemoved:*", "s3:LifecycleExpiration:*")
"""What the jobs queue is told, as the template says it."""

_BUCKET = "InputBucket"


def foreign(clients: Clients, plan: Plan) -> ImgpipeError | None:
    """Why the plan is not to be executed unasked: the bucket that it takes in or changes notifies somebody else."""
    if not any(one.logical_id == _BUCKET and one.action in ("Import", "Modify") for one in plan.changes):
        return None
    names = _names(clients, plan)
    others = _others(clients, names.input_bucket, plan.owner.account, _queue_arn(clients, plan, names))
    if not others:
        return None
    return ImgpipeError(
        "foreign_notifications",
        f"The bucket {names.input_bucket} already notifies {', '.join(others)}, which this deploy would end.",
        "imgpipe up --replace-notifications, if that is meant",
        ExitStatus.REFUSED,
    )


def connect(clients: Clients, plan: Plan) -> None:
    """Let an input bucket that was taken in notify the queue: CloudFormation leaves what it imports as it is."""
    if not any(one.logical_id == _BUCKET and one.action == "Import" for one in plan.changes):
        return
    names = _names(clients, plan)
    arn = _queue_arn(clients, plan, names)
    clients["s3"].put_bucket_notification_configuration(
        Bucket=names.input_bucket,
        ExpectedBucketOwner=plan.owner.account,
        NotificationConfiguration={"QueueConfigurations": [{"QueueArn": arn, "Events": [event]} for event in EVENTS]},
    )


def _others(clients: Clients, bucket: str, account: str, queue: str) -> list[str]:
    from botocore.exceptions import ClientError

    try:
        said: dict[str, Any] = clients["s3"].get_bucket_notification_configuration(
            Bucket=bucket, ExpectedBucketOwner=account
        )
    except ClientError as error:
        if error_code(error) == "NoSuchBucket":
            return []
        raise
    arns = [one["QueueArn"] for one in said.get("QueueConfigurations", ())]
    arns += [one["TopicArn"] for one in said.get("TopicConfigurations", ())]
    arns += [one["LambdaFunctionArn"] for one in said.get("LambdaFunctionConfigurations", ())]
    found = list(dict.fromkeys(arn for arn in arns if arn != queue))
    return [*found, *(["EventBridge"] if "EventBridgeConfiguration" in said else [])]


def _names(clients: Clients, plan: Plan) -> Names:
    return Names.of(plan.stage, plan.owner.account, clients.connection.region)


def _queue_arn(clients: Clients, plan: Plan, names: Names) -> str:
    owner = plan.owner
    return f"arn:{owner.partition}:sqs:{clients.connection.region}:{owner.account}:{names.jobs_queue}"

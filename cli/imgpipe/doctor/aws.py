"""What the target `aws` needs: credentials for the right account, a right clock, room within the account's quotas."""

from __future__ import annotations

import shlex
import sys
from collections.abc import Callable, Iterator
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime
from functools import partial
from typing import Any

from imgpipe.aws import Clients
from imgpipe.config import Config
from imgpipe.doctor.findings import Check, Finding
from imgpipe.doctor.machine import bundling, bytecode
from imgpipe.failures import explain, is_about_credentials
from imgpipe.stack.parameters import default
from imgpipe.targets.base import Connection
from imgpipe.targets.credentials import advise

_BUCKETS = 4
"""Three of the stage, and the one for code that all stages of a region share."""
_SKEW_NOTICED, _SKEW_REFUSED = 60, 300
"""Seconds between this clock and AWS's. From five minutes on, most services refuse a signature."""

_DEPLOYING = (
    *("cloudformation:CreateChangeSet", "cloudformation:ExecuteChangeSet", "s3:CreateBucket", "s3:PutObject"),
    *("dynamodb:CreateTable", "sqs:CreateQueue", "lambda:CreateFunction", "lambda:CreateEventSourceMapping"),
    *("iam:CreateRole", "iam:PutRolePolicy", "iam:PassRole", "logs:CreateLogGroup", "sns:CreateTopic"),
    "cloudwatch:PutMetricAlarm",
)
"""What `imgpipe up` asks of whoever types it: an action or two for each service."""

_SET_CLOCK = {"linux": "sudo timedatectl set-ntp true", "darwin": "sudo sntp -sS time.apple.com"}


def checks(config: Config, clients: Clients | None = None) -> list[Check]:
    """What to look at for a pipeline on AWS; `clients` None means those that the configuration makes."""
    runtime = config.parameters.get("Runtime") or default("Runtime")
    account = _Account(config, clients or Clients(Connection("aws", config.region, profile=config.profile)))
    later: dict[str, Callable[[], Iterator[Finding]]] = {
        "account": account.is_the_right_one,
        "lambda_concurrency": account.lambda_concurrency,
        "stacks": account.stacks,
        "buckets": account.buckets,
        "permissions": account.permissions,
    }
    return [
        Check("region", account.region),
        Check("credentials", account.credentials),
        Check("clock", account.clock),
        *(Check(name, account.once_known(name, check)) for name, check in later.items()),
        *bundling(),
        Check("bytecode", partial(bytecode, runtime)),
    ]


class _Account:
    """The account that the credentials open; what the first answer of AWS told about it is kept for later checks."""

    def __init__(self, config: Config, clients: Clients) -> None:
        self._config = config
        self._clients = clients
        self._number: str | None = None
        self._arn = ""
        self._skew: float | None = None
        """Seconds that this machine's clock is ahead of AWS's."""

    def once_known(self, name: str, check: Callable[[], Iterator[Finding]]) -> Callable[[], Iterator[Finding]]:
        """`check`, or a word that it was left out where the credentials do not work."""

        def run() -> Iterator[Finding]:
            if self._number is None:
                return iter([Finding(name, "skip", "Credentials that work are needed to look at this.")])
            return check()

        return run

    def region(self) -> Iterator[Finding]:
        import boto3

        session, name = boto3.Session(), self._config.region
        known = [
            region
            for partition in session.get_available_partitions()
            for region in session.get_available_regions("lambda", partition)
        ]
        if name in known:
            yield Finding("region", "ok", f"{name} is a region that has Lambda.")
        else:
            said = f"{name} is no region that boto3 {boto3.__version__} knows Lambda to be in."
            yield Finding("region", "warn", said, "aws account list-regions names those of your account")

    def credentials(self) -> Iterator[Finding]:
        try:
            sts = self._clients["sts"]
            answer = sts.get_caller_identity()
        except Exception as error:
            self._compare_clocks(getattr(error, "response", None))
            failure = advise(error, self._config.profile) if is_about_credentials(error) else explain(error)
            yield Finding("credentials", "fail", failure.message, failure.hint)
            return
        self._compare_clocks(answer)
        self._number, self._arn = answer["Account"], answer["Arn"]
        # botocore has no public way to the credentials that a client signs with.
        held = sts._request_signer._credentials
        yield Finding("credentials", "ok", f"{self._arn} ({held.method}{_validity(held)}).")

    def is_the_right_one(self) -> Iterator[Finding]:
        wanted, region = self._config.account, self._config.region
        if wanted is None:
            yield Finding("account", "ok", f"Account {self._number} in {region}; the configuration allows any.")
        elif wanted == self._number:
            yield Finding("account", "ok", f"Account {self._number} in {region}, as the configuration wants it.")
        else:
            said = f"These credentials are for the account {self._number}, and the configuration wants {wanted}."
            yield Finding(
                "account", "fail", said, f"imgpipe --profile NAME doctor, with a profile of the account {wanted}"
            )

    def clock(self) -> Iterator[Finding]:
        if self._skew is None:
            yield Finding("clock", "skip", "AWS has not said what time it is.")
            return
        seconds = round(abs(self._skew))
        side = "ahead of" if self._skew > 0 else "behind"
        if seconds <= _SKEW_NOTICED:
            yield Finding("clock", "ok", f"This clock is within {_SKEW_NOTICED} s of AWS's.")
            return
        said = f"This clock is {seconds} s {side} AWS's."
        fix = _SET_CLOCK.get(sys.platform, "set the clock by a time server")
        yield Finding("clock", "fail" if seconds > _SKEW_REFUSED else "warn", said, fix)

    def lambda_concurrency(self) -> Iterator[Finding]:
        wanted = int(self._config.parameters.get("MaximumConcurrency") or default("MaximumConcurrency"))
        answer = _allowed(self._clients["lambda"].get_account_settings)
        if answer is None:
            yield _denied("lambda_concurrency", "lambda:GetAccountSettings")
            return
        limit = answer["AccountLimit"]
        free, all_ = limit["UnreservedConcurrentExecutions"], limit["ConcurrentExecutions"]
        said = f"{free} of {all_} concurrent executions are not reserved, and imgpipe takes up to {wanted}."
        if free >= wanted:
            yield Finding("lambda_concurrency", "ok", said)
        else:
            fix = self._raise("lambda", "L-B99A9384", max(1000, 2 * all_))
            yield Finding("lambda_concurrency", "warn" if free else "fail", said, fix)

    def stacks(self) -> Iterator[Finding]:
        client = self._clients["cloudformation"]
        limits = _allowed(client.describe_account_limits)
        states = [one for one in client.meta.service_model.shape_for("StackStatus").enum if one != "DELETE_COMPLETE"]
        pages = client.get_paginator("list_stacks").paginate(StackStatusFilter=states)
        names = _allowed(lambda: [one["StackName"] for page in pages for one in page["StackSummaries"]])
        if limits is None or names is None:
            yield _denied("stacks", "cloudformation:DescribeAccountLimits and ListStacks")
            return
        limit = {one["Name"]: one["Value"] for one in limits["AccountLimits"]}.get("StackLimit")
        if limit is None:
            yield Finding("stacks", "skip", "AWS did not say how many stacks the account may have.")
        elif len(names) < limit or f"imgpipe-{self._config.stage}" in names:
            yield Finding("stacks", "ok", f"{len(names)} of {limit} stacks are in use.")
        else:
            fix = self._raise("cloudformation", "L-0485CB21", 2 * limit)
            yield Finding("stacks", "fail", f"All of the {limit} stacks that the account may have are in use.", fix)

    def buckets(self) -> Iterator[Finding]:
        listed = _allowed(self._clients["s3"].list_buckets)
        quota = _allowed(
            lambda: self._clients["service-quotas"].get_service_quota(ServiceCode="s3", QuotaCode="L-DC2B2D3D")
        )
        if listed is None or quota is None:
            yield _denied("buckets", "s3:ListAllMyBuckets and servicequotas:GetServiceQuota")
            return
        used, limit = len(listed["Buckets"]), int(quota["Quota"]["Value"])
        said = f"{used} of {limit} buckets are in use, and a first stage makes {_BUCKETS}."
        if used + _BUCKETS <= limit:
            yield Finding("buckets", "ok", said)
        else:
            yield Finding("buckets", "warn", said, self._raise("s3", "L-DC2B2D3D", 2 * limit))

    def permissions(self) -> Iterator[Finding]:
        """What a simulation of the policies says; resource-based and session policies are not in it."""
        source = self._principal()
        if source is None:
            yield Finding("permissions", "skip", f"The permissions of {self._arn} cannot be simulated.")
            return
        iam = self._clients["iam"]
        answer = _allowed(lambda: iam.simulate_principal_policy(PolicySourceArn=source, ActionNames=list(_DEPLOYING)))
        if answer is None:
            yield _denied("permissions", "iam:SimulatePrincipalPolicy")
            return
        refused = [one["EvalActionName"] for one in answer["EvaluationResults"] if one["EvalDecision"] != "allowed"]
        if refused:
            said = (
                f"{source} may not do this on every resource, which imgpipe up needs on its own: {', '.join(refused)}."
            )
            fix = "imgpipe -t aws up --dry-run, or let an administrator allow these for imgpipe-*"
            yield Finding("permissions", "warn", said, fix)
        else:
            yield Finding("permissions", "ok", f"{source} may do all {len(_DEPLOYING)} things that were simulated.")

    def _principal(self) -> str | None:
        """The ARN that IAM knows the caller by: of the user, or of the role behind a session."""
        kind, _, rest = self._arn.rpartition(":")[2].partition("/")
        if kind == "user":
            return self._arn
        if kind != "assumed-role":
            return None
        # The path of a role is not in the ARN of its session.
        role = _allowed(lambda: self._clients["iam"].get_role(RoleName=rest.partition("/")[0]))
        return str(role["Role"]["Arn"]) if role else None

    def _compare_clocks(self, answer: Any) -> None:
        """AWS says the time in every answer, in a refusal as well."""
        said = (answer or {}).get("ResponseMetadata", {}).get("HTTPHeaders", {}).get("date")
        if said:
            self._skew = (datetime.now(UTC) - parsedate_to_datetime(said)).total_seconds()

    def _raise(self, service: str, quota: str, value: int) -> str:
        """The command that asks AWS for a higher quota."""
        profile = f"--profile {shlex.quote(self._config.profile)} " if self._config.profile else ""
        return (
            f"aws service-quotas request-service-quota-increase --region {self._config.region} {profile}"
            f"--service-code {service} --quota-code {quota} --desired-value {value}"
        )


def _allowed(call: Callable[[], Any]) -> Any:
    """What a call answers, None where these credentials may not make it."""
    from botocore.exceptions import ClientError

    try:
        return call()
    except ClientError as error:
        code = error.response.get("Error", {}).get("Code", "")
        if "AccessDenied" in code or code in ("UnauthorizedOperation", "NoSuchResourceException"):
            return None
        raise


def _denied(name: str, action: str) -> Finding:
    return Finding(name, "skip", f"These credentials may not look at this: it takes {action}.")


def _validity(held: Any) -> str:
    """How long temporary credentials will last, where that is known."""
    ends = getattr(held, "_expiry_time", None)
    if not isinstance(ends, datetime):
        return ""
    minutes = round((ends - datetime.now(UTC)).total_seconds() / 60)
    return f", for {minutes // 60} h {minutes % 60} min more"

"""The command table and the global options: said once, for the help page and for the parser alike."""

from __future__ import annotations

SECTIONS: dict[str, dict[str, str]] = {
    "Start": {
        "up": "Start the pipeline, or bring it up to date",
        "env": "Print the exports that point the AWS CLI, boto3 or Terraform at it",
        "down": "Delete the pipeline and everything in it",
    },
    "Work": {
        "upload": "Send images and wait for their renditions",
        "get": "Download an image, or what was made of it",
        "rm": "Delete images and everything made of them",
        "reprocess": "Make the renditions of images again",
    },
    "Repair": {
        "failures": "List what failed; send it back, or give it up",
        "why": "Tell the story of one image",
        "reconcile": "Compare bucket, table and outputs, and mend what is off",
    },
    "Look": {
        "ls": "List images, newest first",
        "meta": "Show everything known about one image",
        "logs": "Read or follow the function's log",
        "status": "Show how the pipeline is doing",
        "metrics": "Show throughput, latency and queues over time",
        "cost": "Show what a million images cost, and a month of yours",
    },
    "Prepare": {
        "config": "Show the configuration and where each value comes from",
        "doctor": "Check what a target needs, and say how to mend it",
        "bundle": "Build the zip that Lambda runs",
        "template": "Print the CloudFormation template",
    },
}

COMMANDS: dict[str, str] = {name: summary for section in SECTIONS.values() for name, summary in section.items()}

OTHER_NAMES: dict[str, str] = {
    **dict.fromkeys(("start", "deploy", "create", "run", "init"), "up"),
    **dict.fromkeys(("stop", "destroy", "teardown"), "down"),
    **dict.fromkeys(("put", "send", "add", "cp"), "upload"),
    **dict.fromkeys(("download", "fetch"), "get"),
    **dict.fromkeys(("delete", "remove"), "rm"),
    **dict.fromkeys(("redrive", "retry", "dlq"), "failures"),
    **dict.fromkeys(("show", "describe", "info"), "meta"),
    **dict.fromkeys(("list", "images"), "ls"),
    **dict.fromkeys(("explain", "trace"), "why"),
    "tail": "logs",
    "check": "doctor",
    "price": "cost",
}
"""What people look for who know another tool, and what it is called here."""

OPTIONS: tuple[tuple[str, str, str], ...] = (
    ("-t, --target", "NAME", "Where to run: local (default), localstack or aws"),
    ("--stage", "NAME", "Which of several pipelines (default: dev)"),
    ("--region", "NAME", "AWS region (default: us-east-1; on aws, the profile's)"),
    ("--profile", "NAME", "AWS profile, for the target aws"),
    ("--endpoint-url", "URL", "Where LocalStack listens, for the target localstack"),
    ("--json", "", "One JSON document on stdout and nothing else"),
    ("-q, --quiet", "", "No progress and no hints"),
    ("-v, --verbose", "", "More detail"),
    ("--debug", "", "Show the traceback of a failure"),
)
"""(flags, metavar or "" for a switch, what it does); each is taken before and after the command."""

_FINALLY: tuple[tuple[str, str], ...] = (
    ("--version", "Print the version"),
    ("--install-completion", "Complete commands in this shell"),
    ("-h, --help", "Print this page; imgpipe COMMAND --help has examples"),
)


def page() -> str:
    """What `imgpipe --help` prints. Made without importing anything, because help should not have to wait."""
    lines = [
        "Usage: imgpipe COMMAND [OPTIONS]",
        "",
        "A serverless image pipeline (S3, SQS, Lambda, DynamoDB) on this machine, on LocalStack or on AWS.",
    ]
    for title, commands in SECTIONS.items():
        lines += ["", title, *(f"  {name:<9}  {summary}" for name, summary in commands.items())]
    options = [(f"{flags} {metavar}".strip(), text) for flags, metavar, text in OPTIONS]
    lines += ["", "Options, before or after the command"]
    lines += [f"  {left:<20}  {text}" for left, text in (*options, *_FINALLY)]
    lines += ["", "Begin with:  imgpipe up && imgpipe upload --sample", ""]
    return "\n".join(lines)

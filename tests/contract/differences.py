"""What a target cannot do, and why. The contract holds the list true in both directions; the README shows it."""

from __future__ import annotations

TARGETS = ("local", "localstack", "aws")

_EMULATOR = "the emulator drops this part of the template"
_LOCALSTACK = "LocalStack drops this part of the template"

DIFFERENCES: dict[str, dict[str, str]] = {
    "The function can do only what its role allows (IAM)": {
        "local": "roles are stored, not enforced",
        "localstack": "its free edition stores roles and does not enforce them",
    },
    "A request without TLS is refused": {
        "local": "plain HTTP on 127.0.0.1; the policies are stored, not enforced",
        "localstack": "plain HTTP on 127.0.0.1; the policies are stored, not enforced",
    },
    "A function that needs more memory than it has is stopped": {
        "local": "the memory size is stored, not enforced",
        "localstack": "the memory size is stored, not enforced",
    },
    "Old versions of images expire (lifecycle rules)": {"local": _EMULATOR, "localstack": _LOCALSTACK},
    "The table has point-in-time recovery": {"local": _EMULATOR, "localstack": _LOCALSTACK},
    "The log is kept for 30 days (retention)": {"localstack": _LOCALSTACK},
    "The dashboard is made where the configuration asks for it": {"localstack": _LOCALSTACK},
    "CloudWatch measures the function's duration": {
        "localstack": "it counts invocations and errors only",
    },
    "Embedded metrics of the log become metrics (EMF)": {
        "localstack": "metrics in log lines are not read",
    },
    "The alarm for many refused images rings": {
        "localstack": "it watches a metric of the log lines",
    },
    "SQS redrives dead letters by itself (StartMessageMoveTask)": {"local": "the call is unknown"},
    "CloudWatch Logs selects lines by a JSON filter pattern": {
        "local": "every line matches; `imgpipe logs` selects by itself",
        "localstack": "every line matches; `imgpipe logs` selects by itself",
    },
    "Every log line has the time at which it was written": {
        "local": "all lines of an invocation have the time of its end",
        "localstack": "all lines of an invocation have one time",
    },
    "A failed update is undone": {"localstack": "what was changed before the failure stays"},
    "`up` goes on after a failed update": {"localstack": "the stack takes no more updates: `imgpipe down`, then `up`"},
    "`up` finds buckets and table again that a deleted stack left behind": {
        "localstack": "existing resources cannot be imported",
    },
}
"""By capability and target. A capability is the argument of the `promise` that its test carries. What stands here of
AWS is what AWS documents."""


def table() -> str:
    """The README's table in Markdown: the capabilities that not every target has."""
    lines = ["| capability | " + " | ".join(f"`{one}`" for one in TARGETS) + " |", "|---|---|---|---|"]
    for capability, reasons in DIFFERENCES.items():
        cells = [f"no: {reasons[one]}" if one in reasons else "yes" for one in TARGETS]
        lines.append(f"| {capability} | {' | '.join(cells)} |")
    return "\n".join(lines)

"""What a pipeline did, or what it is assumed to do, as `imgpipe cost` reckons with it."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from datetime import datetime
from typing import Any

from image_pipeline.record import Status
from imgpipe import catalog, logs, metrics
from imgpipe.aws import Clients
from imgpipe.cost import METRICS, WHOLE_CPU, Traffic, Work
from imgpipe.logs import Line
from imgpipe.metricdata import Query, Window, answers
from imgpipe.rowsize import Row
from imgpipe.stack.names import StackOutputs
from imgpipe.stack.parameters import PARAMETERS

SAMPLE = 25
"""The newest images, whose rows tell what no metric does: how many outputs an image has, and how large its row is."""

BYTES_OUT = 250_000
"""Of the outputs of an assumed photo, by the default recipe; real ones take 100,000 to 280,000."""

_DEFAULTS = {one.name: one.text(one.default) for one in PARAMETERS}


def assumed(parameters: Mapping[str, str], milliseconds: float, bytes_in: float) -> Traffic:
    """One image that takes so long, by the recipe, the memory and the processor of the template's `parameters`."""
    outputs = _outputs(parameters)
    work = Work(
        ready=1,
        settled=1,
        invocations=1,
        milliseconds=milliseconds,
        cold_starts=0,
        bytes_in=bytes_in,
        bytes_out=BYTES_OUT,
        outputs=outputs,
        row=Row.typical(outputs),
        memory=_memory(parameters),
        architecture=_architecture(parameters),
    )
    return Traffic(work=work, metrics=METRICS, dashboard=_dashboard(parameters))


def measured(
    clients: Clients, stack: str, names: StackOutputs, parameters: Mapping[str, str], window: Window, now: datetime
) -> Traffic:
    """What the stack did in `window`, by its own metrics and by its newest rows.

    On AWS the time is the one that Lambda bills. Elsewhere it is the function's own on a whole core of this machine,
    and is converted to what the stack's memory size would buy.
    """
    report = metrics.report(clients, stack, names, window, now)
    figures = {name: value or 0 for name, value in report.figures.items()}
    settled, milliseconds = _time(clients, stack, names, window)
    on_aws = clients.connection.endpoint_url is None
    if on_aws:
        invocations, milliseconds = _billed(clients, names, window)
    else:
        invocations = settled + figures["retried"] + figures["rejected"]
        # An attempt that failed reports no time of its own.
        milliseconds *= 1 + figures["retried"] / (settled or 1)
    outputs, row = _rows(clients, names.table, parameters)
    work = Work(
        **{name: figures[name] for name in ("ready", "failed", "deleted", "retried", "bytes_in", "bytes_out")},
        settled=settled,
        invocations=invocations,
        milliseconds=milliseconds,
        cold_starts=figures["cold_starts"],
        outputs=outputs,
        row=row,
        memory=_memory(parameters) if on_aws else WHOLE_CPU,
        architecture=_architecture(parameters),
    )
    sometimes = sum(1 for name in ("failed", "deleted", "retried", "rejected") if figures[name])
    return Traffic(
        work=work.at(_memory(parameters), work.architecture),
        metrics=METRICS * bool(settled) + sometimes + len(report.failed_by_code),
        dashboard=_dashboard(parameters),
        seconds=max(60.0, now.timestamp() - window.start),
    )


def _memory(parameters: Mapping[str, str]) -> int:
    return int(_said(parameters, "MemorySize"))


def _architecture(parameters: Mapping[str, str]) -> str:
    return _said(parameters, "Architecture")


def _dashboard(parameters: Mapping[str, str]) -> bool:
    return _said(parameters, "Dashboard") == "true"


def _said(parameters: Mapping[str, str], name: str) -> str:
    return {**_DEFAULTS, **parameters}[name]


def _time(clients: Clients, stack: str, names: StackOutputs, window: Window) -> tuple[float, float]:
    """How many messages were settled, and the milliseconds that this took."""
    if clients.connection.target == "localstack":  # which makes no metrics of log lines
        lines = logs.read(logs.fetcher(clients, names.log_group), window.start * 1000)
        taken = _times(lines, stack)
        return len(taken), sum(taken)
    return _sums(
        clients,
        window,
        Query(metrics.NAMESPACE, "ProcessingTime", {"service": stack}, "SampleCount", window.period),
        Query(metrics.NAMESPACE, "ProcessingTime", {"service": stack}, "Sum", window.period),
    )


def _times(lines: Iterable[Line], stack: str) -> list[float]:
    found: list[Any] = []
    for line in lines:
        data = line.data or {}
        if "_aws" in data and data.get("service") == stack:
            found += data.get("ProcessingTime", ())
    return [float(one) for one in found]


def _billed(clients: Clients, names: StackOutputs, window: Window) -> tuple[float, float]:
    """Invocations and their milliseconds, as Lambda itself counts them."""
    here = {"FunctionName": names.function}
    return _sums(
        clients,
        window,
        Query("AWS/Lambda", "Invocations", here, "Sum", window.period),
        Query("AWS/Lambda", "Duration", here, "Sum", window.period),
    )


def _sums(clients: Clients, window: Window, count: Query, total: Query) -> tuple[float, float]:
    found = answers(clients, window, {"count": count, "total": total})
    return sum(found["count"].values()), sum(found["total"].values())


def _rows(clients: Clients, table: str, parameters: Mapping[str, str]) -> tuple[float, Row]:
    """Outputs and row of an image, on average; by the recipe where there is none to look at."""
    newest = catalog.page(clients, table, catalog.Query(), SAMPLE).entries
    keys = [one.image_key for one in newest if one.status == Status.READY]
    records = list(catalog.rows(clients, table, keys).values())
    if not records:
        outputs = _outputs(parameters)
        return outputs, Row.typical(outputs)
    return sum(len(one.outputs) for one in records) / len(records), Row.mean([Row.of(one) for one in records])


def _outputs(parameters: Mapping[str, str]) -> int:
    """How many pictures the recipe makes of a large image."""
    from image_pipeline.settings import recipe_from_environment

    recipe = recipe_from_environment({"IMGPIPE_RENDITIONS": parameters.get("Renditions", "")})
    return len(recipe.renditions) + (recipe.thumbnail is not None)

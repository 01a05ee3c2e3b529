"""One process that takes pictures as the function does, with 1 GB of memory and 20 s of CPU time for each.

Reads one path a line; answers each with one line of JSON: {"verdict": "READY", a refusal's code, or what went wrong}.
"""

from __future__ import annotations

import json
import resource
import signal
import sys
from dataclasses import replace
from io import BytesIO
from pathlib import Path

from boto3.dynamodb.types import TypeSerializer

from image_pipeline.record import ImageRecord, RefusedError, Source, Status
from image_pipeline.renditions import Rendered, render, render_stream
from image_pipeline.settings import INPUT_FORMATS, Recipe, RenditionSpec
from image_pipeline.stream import Arriving

MEMORY = 1 << 30
CPU_SECONDS = 20
MAX_ITEM = 64_000

_PUBLIC = ("jpeg", "webp", "avif")
EVERYTHING = replace(
    Recipe(),
    formats=INPUT_FORMATS,
    renditions=(
        *Recipe().renditions,
        *(RenditionSpec(name=form, box=96, format=form) for form in _PUBLIC),  # type: ignore[arg-type]
    ),
)
"""All formats in and out, and the default sizes."""


def verdict(data: bytes) -> str:
    """What becomes of one file: READY, the code of its refusal, or a sentence about a defect of the pipeline."""
    try:
        rendered = render_stream(Arriving(BytesIO(data).read, len(data)), EVERYTHING)
    except RefusedError as refused:
        return refused.code.value
    except MemoryError:
        return "out of memory"
    except Exception as error:
        return f"raised {error!r}"
    if len(rendered.renditions) != len(EVERYTHING.renditions):
        return f"made {len(rendered.renditions)} renditions"
    if (size := _item_size(rendered)) > MAX_ITEM:
        return f"made a row of {size} bytes"
    if rendered.format in Recipe().formats:
        return "READY"
    try:
        render(data, Recipe())
    except RefusedError as refused:
        return "READY" if refused.code == "unsupported_type" else f"off, it is {refused.code}"
    return "was taken although its format is off"


def _item_size(rendered: Rendered) -> int:
    """Bytes of the row's item on the wire, without the outputs' places."""
    record = ImageRecord(
        **dict.fromkeys(
            ("image_key", "file_name", "user", "uploaded_at", "revision", "processed_at", "request_id"), ""
        ),
        status=Status.READY,
        source=Source(bucket="", key="", uri=""),
        recipe="",
        mode=rendered.mode,
        exif=rendered.exif,
        dominant_colour=rendered.dominant_colour,
        notes=rendered.notes,
    )
    return len(json.dumps({name: TypeSerializer().serialize(value) for name, value in record.to_item().items()}))


def main() -> None:
    resource.setrlimit(resource.RLIMIT_AS, (MEMORY, MEMORY))
    for line in sys.stdin:
        # Nobody handles this signal: it ends the process in the middle of a decoder's loop, too.
        signal.setitimer(signal.ITIMER_PROF, CPU_SECONDS)
        answer = verdict(Path(line.rstrip("\n")).read_bytes())
        signal.setitimer(signal.ITIMER_PROF, 0)
        print(json.dumps({"verdict": answer}), flush=True)  # noqa: T201


if __name__ == "__main__":
    main()

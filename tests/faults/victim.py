"""A worker to be killed: forks for every delivery, and dies by kill -9 before or after the nth AWS call of it.

Reads one JSON line a delivery, `{"event", "at", "side"}` (`at` null: let it live), and answers with one: the handler's
answer, or null where the worker died. It forks before any call is made, so that every worker is a cold start.
"""

from __future__ import annotations

import json
import os
import signal
import sys
from typing import Any

from botocore.retries.standard import ExponentialBackoff
from faults.injector import Injector
from faults.world import CONTEXT

from image_pipeline import handler as module

ExponentialBackoff.delay_amount = lambda *_: 0


def work(event: dict[str, Any], at: int | None, side: str) -> Any:
    """Handle the event; never returns from the call at which it is to die."""
    injector = Injector()
    injector.watch(module._queue(), module._worker.storage._client, module._worker.catalog._client)

    def die(number: int) -> None:
        if number == at:
            os.kill(os.getpid(), signal.SIGKILL)

    setattr(injector, side, die)
    return module.handler(event, CONTEXT)


def deliver(order: dict[str, Any], answers: int) -> None:
    """One delivery in a process of its own; a line on `answers`."""
    child = os.fork()
    if child == 0:
        answer = work(**order)
        os.write(answers, f"{json.dumps(answer)}\n".encode())
        os._exit(0)
    _, status = os.waitpid(child, 0)
    if os.WIFSIGNALED(status):
        os.write(answers, b"null\n")
    elif status:
        os.write(answers, b'"broken"\n')


if __name__ == "__main__":
    answers = os.dup(1)
    os.dup2(2, 1)  # the function's log goes to stderr
    for line in sys.stdin:
        deliver(json.loads(line), answers)

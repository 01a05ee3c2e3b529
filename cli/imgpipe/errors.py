"""The one exception that reaches a user: a sentence, its cause, the next command, an exit status."""

from __future__ import annotations

from enum import IntEnum


class ExitStatus(IntEnum):
    """What the process tells its caller. These numbers are documented and stable."""

    OK = 0
    FAILED = 1
    USAGE = 2
    INCOMPLETE = 3
    UNREACHABLE = 4
    CREDENTIALS = 5
    REFUSED = 6
    INTERRUPTED = 130


class ImgpipeError(Exception):
    """A failure that a user can act on.

    `code` is a stable snake_case name for programs, `message` one sentence that names the cause, `hint` the next
    command to type, `status` the exit status.
    """

    def __init__(self, code: str, message: str, hint: str = "", status: ExitStatus = ExitStatus.FAILED) -> None:
        self.code = code
        self.message = message
        self.hint = hint
        self.status = status
        super().__init__(message)


def usage(message: str, hint: str = "") -> ImgpipeError:
    """Wrong use: a missing file, an option that does not fit."""
    return ImgpipeError("usage", message, hint, ExitStatus.USAGE)


def not_up(message: str, hint: str = "imgpipe up") -> ImgpipeError:
    """Nothing answers where the pipeline should be."""
    return ImgpipeError("not_up", message, hint, ExitStatus.UNREACHABLE)

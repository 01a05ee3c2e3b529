"""The two ways in which work can fail without being the image's fault."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from botocore.exceptions import ClientError


class TransientError(Exception):
    """Something outside the image went wrong; trying again later may help."""


class CommitUnknownError(TransientError):
    """The write was sent and no answer came: the row may hold it now, or may come to hold it later."""


@contextmanager
def transient(operation: str) -> Iterator[None]:
    """Turn whatever botocore raises inside into a TransientError that names the operation and the cause."""
    # Imported here because what decodes a picture knows these exceptions, and no AWS.
    from botocore.exceptions import BotoCoreError, ClientError, HTTPClientError

    try:
        yield
    except ClientError as error:
        raise TransientError(f"{operation} failed: {error_code(error)}") from error
    except (BotoCoreError, HTTPClientError) as error:
        raise TransientError(f"{operation} failed: {type(error).__name__}") from error


def error_code(error: ClientError) -> str:
    """AWS's name for what went wrong ("SlowDown"); for answers without a body, the HTTP status ("404")."""
    return str(error.response.get("Error", {}).get("Code", "Unknown"))

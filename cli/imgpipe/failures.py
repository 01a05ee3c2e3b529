"""What AWS, the network and the file system throw, in the words of a user."""

from __future__ import annotations

import re
import shlex
import sys
from typing import Any

from imgpipe.errors import ExitStatus, ImgpipeError, not_up

_CREDENTIALS = (
    *("NoCredentialsError", "PartialCredentialsError", "ProfileNotFound", "CredentialRetrievalError"),
    *("TokenRetrievalError", "SSOError", "SSOTokenLoadError", "UnauthorizedSSOTokenError", "UnknownCredentialError"),
    *("LoginError", "LoginRefreshRequired", "LoginInsufficientPermissions", "LoginTokenLoadError"),
    *("LoginAuthorizationCodeError", "RefreshWithMFAUnsupportedError", "MissingDependencyException"),
    *("InvalidConfigError", "InfiniteLoopConfigError", "ConfigParseError", "ConfigNotFound"),
)
_DENIED = (
    *("ExpiredToken", "ExpiredTokenException", "InvalidClientTokenId", "UnrecognizedClientException"),
    *("InvalidAccessKeyId", "SignatureDoesNotMatch", "InvalidSignatureException", "AuthFailure"),
    *("InvalidToken", "RequestExpired", "RequestTimeTooSkewed"),
)
_FORBIDDEN = ("AccessDenied", "AccessDeniedException", "UnauthorizedOperation", "AuthorizationError", "403")
_ACTION = re.compile(r"not authorized to perform:? ([\w-]+:\w+)(?: on resource:? ([^\s,]+))?")
_LOOPBACK = ("127.", "localhost", "[::1]")


def missing_permission(said: str) -> str | None:
    """The permission that a refusal of AWS names ("sqs:SendMessage on arn:..."), None where it names none."""
    if not (found := _ACTION.search(said)):
        return None
    resource = (found[2] or "").rstrip(".:;")
    return f"{found[1]} on {resource}" if resource else found[1]


def is_about_credentials(error: BaseException) -> bool:
    """Whether the credentials of botocore's chain are missing, expired, wrong, or cannot be read."""
    code = getattr(error, "response", {}).get("Error", {}).get("Code", "")
    return type(error).__name__ in _CREDENTIALS or code in _DENIED


def explain(error: BaseException) -> ImgpipeError:
    """The failure as one sentence with a hint; what nobody foresaw is called a bug."""
    if isinstance(error, ImgpipeError):
        return error
    if known := _from_botocore(error) or _from_the_system(error):
        return known
    words = " ".join(str(error).split())
    return ImgpipeError(
        "bug",
        f"imgpipe did not expect this, which is a bug in it: {type(error).__name__}: {words}",
        "run the same command with --debug and report what it prints",
    )


def is_remote(error: BaseException) -> bool:
    """Whether AWS, or the way to it, was what failed: a single look that fails so says nothing about the next."""
    return _from_botocore(error) is not None or (isinstance(error, ImgpipeError) and error.code == "throttled")


def may_pass(error: BaseException) -> bool:
    """Whether asking again, and nothing else, may help: nobody answered, or the service was busy or broken."""
    if not is_remote(error):
        return False
    answer = getattr(error, "response", None)
    if answer is None:
        return explain(error).status is not ExitStatus.CREDENTIALS
    code = str(answer.get("Error", {}).get("Code", ""))
    status = answer.get("ResponseMetadata", {}).get("HTTPStatusCode", 0)
    return status == 429 or status >= 500 or any(word in code for word in ("Throttl", "TooMany", "LimitExceeded"))


def _from_botocore(error: BaseException) -> ImgpipeError | None:
    # Whoever raised one of these has imported botocore; nobody else has to wait for it.
    if (botocore := sys.modules.get("botocore.exceptions")) is None:
        return None
    exceptions: Any = botocore
    if isinstance(error, exceptions.HTTPClientError | exceptions.ConnectionError):
        # The address of a request ends in a bucket and a key; who does not answer is the host.
        scheme, _, rest = str(error.kwargs.get("endpoint_url", "")).partition("://")
        where = f"{scheme}://{rest.partition('/')[0]}" if rest else "the endpoint"
        here = not rest or rest.startswith(_LOOPBACK)
        hint = "imgpipe status, then imgpipe up" if here else f"curl -I {where}, to see whether this network reaches it"
        return not_up(f"Nothing answers at {where}.", hint)
    if is_about_credentials(error):
        from imgpipe.targets.credentials import advise

        return advise(error)
    if isinstance(error, exceptions.ClientError):
        code = error.response.get("Error", {}).get("Code", "Unknown")
        said = error.response.get("Error", {}).get("Message", "no reason given")
        message = _sentence(f"AWS refused {error.operation_name}: {code}: {said}")
        if code in _FORBIDDEN:
            return _forbidden(str(said), message, error.operation_name)
        return ImgpipeError("aws_error", message, "imgpipe status")
    if isinstance(error, exceptions.BotoCoreError):
        return ImgpipeError("aws_error", _sentence(error), "imgpipe status")
    return None


def _forbidden(said: str, message: str, operation: str) -> ImgpipeError:
    """What the credentials lack, by the name that a policy would give it."""
    permission = missing_permission(said) or operation
    return ImgpipeError("access_denied", message, f"let these credentials {permission}, or use others: --profile NAME")


def _from_the_system(error: BaseException) -> ImgpipeError | None:
    if not isinstance(error, OSError) or error.strerror is None:
        return None
    where = f"{error.filename}: " if error.filename else ""
    hint = f"ls -ld {shlex.quote(str(error.filename))}" if error.filename else "df -h"
    return ImgpipeError("system", _sentence(f"{where}{error.strerror}"), hint)


def _sentence(said: object) -> str:
    return " ".join(str(said).split()).rstrip(".") + "."

"""Why AWS does not let somebody in, and the command that mends just that."""

from __future__ import annotations

import os
import shlex
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from imgpipe.errors import ExitStatus, ImgpipeError

_EXPIRED = ("ExpiredToken", "ExpiredTokenException", "RequestExpired")
_UNKNOWN_KEY = ("InvalidClientTokenId", "UnrecognizedClientException", "InvalidAccessKeyId", "AuthFailure")
_SSO = ("SSOError", "SSOTokenLoadError", "UnauthorizedSSOTokenError", "TokenRetrievalError")
_LOGIN = ("LoginError", "LoginRefreshRequired", "LoginTokenLoadError", "LoginAuthorizationCodeError")
_CLOCK = ("Signature expired", "Signature not yet current", "RequestTimeTooSkewed")


@dataclass(frozen=True, slots=True)
class _Source:
    """Where credentials come from: `kind` is "environment", "sso", "login", "keys" or "none"."""

    kind: str
    profile: str | None

    @property
    def flag(self) -> str:
        return f" --profile {shlex.quote(self.profile)}" if self.profile else ""

    @property
    def whose(self) -> str:
        return f" of the profile {self.profile}" if self.profile else ""

    @property
    def renewal(self) -> str:
        """The command that gets new ones."""
        if self.kind == "environment":
            return "export fresh AWS_ACCESS_KEY_ID, AWS_SECRET_ACCESS_KEY and AWS_SESSION_TOKEN"
        return {"sso": "aws sso login", "login": "aws login"}.get(self.kind, "aws configure") + self.flag


def profile_in_use(profile: str | None) -> str | None:
    """The profile that boto3's chain reads where `profile` was asked for, None where it needs none."""
    if profile or os.environ.get("AWS_ACCESS_KEY_ID"):
        return profile
    return os.environ.get("AWS_DEFAULT_PROFILE") or os.environ.get("AWS_PROFILE")


def advise(error: BaseException, profile: str | None = None) -> ImgpipeError:
    """A failure of credentials in one sentence (exit 5), with the command that mends this kind of failure.

    `profile` is the one that was asked for, None where boto3 was left to choose.
    """
    message, hint = _cause(error, profile)
    return ImgpipeError("credentials", message, hint, ExitStatus.CREDENTIALS)


def _cause(error: BaseException, profile: str | None) -> tuple[str, str]:
    kind, code = type(error).__name__, getattr(error, "response", {}).get("Error", {}).get("Code", "")
    profiles = _profiles()
    source = _source(profile, profiles)
    if kind == "ProfileNotFound":
        missing = profile or getattr(error, "kwargs", {}).get("profile", "")
        there = f"there are {', '.join(sorted(profiles))}" if profiles else "there are none at all"
        return f"There is no AWS profile {missing}; {there}.", f"aws configure --profile {shlex.quote(missing)}"
    if kind == "NoCredentialsError":
        others = sorted(set(profiles) - {source.profile})
        hint = source.renewal if source.kind in ("sso", "login") else f"aws configure{source.flag}, or aws login"
        if others and not source.profile:
            hint += f", or imgpipe --profile with one of {', '.join(others)}"
        return f"There are no AWS credentials{source.whose}.", hint
    if kind in _SSO:
        return f"The SSO session{source.whose} has expired or was never begun.", f"aws sso login{source.flag}"
    if kind in _LOGIN:
        return f"The login session{source.whose} has expired or was never begun.", f"aws login{source.flag}"
    said, check = str(error), f"aws sts get-caller-identity{source.flag}"
    if any(words in said for words in _CLOCK):
        return (
            f"AWS refuses the signature because this machine's clock is wrong: {_after(said)}",
            "set the clock: date -u",
        )
    if code in _EXPIRED:
        return f"The AWS credentials{source.whose} have expired.", source.renewal
    if code in _UNKNOWN_KEY:
        why = "AWS does not know them, or the region is not enabled for their account"
        return f"The AWS credentials{source.whose} are not valid: {why}.", source.renewal
    if code in ("SignatureDoesNotMatch", "InvalidSignatureException"):
        return f"The secret key{source.whose} does not belong to its access key.", source.renewal
    return f"AWS does not let us in{source.whose and ' with the credentials' + source.whose}: {_after(said)}", check


def _after(said: str) -> str:
    return " ".join(said.rpartition("operation: ")[2].split()).rstrip(".") + "."


def _source(profile: str | None, profiles: Mapping[str, Any]) -> _Source:
    """Where boto3's chain would look: a profile that is named wins over keys in the environment."""
    if profile is None and os.environ.get("AWS_ACCESS_KEY_ID"):
        return _Source("environment", None)
    named = profile_in_use(profile)
    said = profiles.get(named or "default", {})
    if "sso_session" in said or "sso_start_url" in said:
        return _Source("sso", named)
    if "login_session" in said:
        return _Source("login", named)
    return _Source("keys" if said else "none", named)


def _profiles() -> Mapping[str, Mapping[str, Any]]:
    """The profiles of the configuration files; none where the files cannot be read."""
    from botocore.exceptions import BotoCoreError
    from botocore.session import Session

    try:
        found: Mapping[str, Mapping[str, Any]] = Session().full_config["profiles"]
    except BotoCoreError:
        return {}
    return found

"""What a command runs with: flags, then the environment, then imgpipe.toml, then defaults."""

from __future__ import annotations

import os
import re
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from imgpipe import configfile
from imgpipe.configfile import TARGETS, Entry
from imgpipe.errors import ExitStatus, ImgpipeError, usage
from imgpipe.hints import FLAGS

FILE = configfile.FILE

_DEFAULTS = {"target": "local", "stage": "dev"}
_VARIABLES = {
    "target": "IMGPIPE_TARGET",
    "stage": "IMGPIPE_STAGE",
    "region": "IMGPIPE_REGION",
    "profile": "IMGPIPE_PROFILE",
    "account": "IMGPIPE_ACCOUNT",
    "endpoint_url": "IMGPIPE_ENDPOINT",
}
EMULATOR_REGION = "us-east-1"


@dataclass(frozen=True, slots=True, kw_only=True)
class Config:
    """Where to run and what to make.

    `profile` and `account` (the only account that the stage may be in) are None except on the target aws, and
    `endpoint_url` except on localstack. `parameters` are what the file says of the template's, each a string as
    CloudFormation takes it; `tags` are the stack's. `file` is the imgpipe.toml or pyproject.toml that was found.
    `given` are the options of the command line that another command would have to repeat to run in the same place.
    `origins` says in words where each value came from, by its key in the file ("stage", "parameters.memory").
    """

    target: str
    stage: str
    region: str
    home: Path
    profile: str | None = None
    account: str | None = None
    endpoint_url: str | None = None
    port: int | None = None
    parameters: Mapping[str, str]
    tags: Mapping[str, str]
    file: Path | None = None
    given: Mapping[str, str]
    origins: Mapping[str, str]


def load(flags: Mapping[str, str], environ: Mapping[str, str], directory: Path) -> Config:
    """The configuration of one command.

    `flags` holds the options that were given, `directory` is where to begin looking for imgpipe.toml.
    Raises ImgpipeError (exit 2) that names the flag, the variable, or the file, line and key at fault; `unknown_region`
    (exit 4) for what cannot be a region of AWS.
    """
    found = configfile.find(directory, _home_folder(environ))
    file = None
    if found:
        from imgpipe.configreader import read

        file = read(found)
    sources = _Sources(flags, environ, dict(file.top) if file else {})
    stage = _stage(sources)
    if file:
        sources.entries = file.of(stage)
    target = _target(sources)
    region = _region(sources, target)
    aws = target == "aws"
    profile = sources.choose("profile") if aws else None
    account = _account(sources) if aws else None
    endpoint_url = _endpoint(sources) if target == "localstack" else None
    if aws and profile is None and (variable := _set(environ, "AWS_PROFILE", "AWS_DEFAULT_PROFILE")):
        sources.origins["profile"] = variable  # boto3 reads it
    sources.origins["home"] = "IMGPIPE_HOME" if environ.get("IMGPIPE_HOME") else "default"
    sources.origins["port"] = "IMGPIPE_PORT" if environ.get("IMGPIPE_PORT") else "default"
    sources.origins |= {key: entry.where for key, entry in sources.entries.items() if key not in sources.origins}
    return Config(
        target=target,
        stage=stage,
        region=region,
        profile=profile,
        account=account,
        endpoint_url=endpoint_url,
        home=_state(environ),
        port=_port(environ),
        parameters=_parameters(sources.entries),
        tags={key.removeprefix("tags."): one.value for key, one in sources.entries.items() if key.startswith("tags.")},
        file=found,
        given=sources.given(),
        origins=sources.origins,
    )


class _Sources:
    """Where values come from; `origins` collects where those that were asked for did."""

    def __init__(self, flags: Mapping[str, str], environ: Mapping[str, str], entries: Mapping[str, Entry]) -> None:
        self.flags = flags
        self.environ = environ
        self.entries = entries
        self.defaults = dict(_DEFAULTS)
        self.origins: dict[str, str] = {}

    def choose(self, name: str) -> str | None:
        """The value that wins, noted in `origins`."""
        value, origin = self.standing(name)
        if flag := self.flags.get(name):
            value, origin = flag, f"--{name.replace('_', '-')}"
        if value is not None:
            self.origins[name] = origin
        return value

    def standing(self, name: str) -> tuple[str | None, str]:
        """What holds where no flag is given, and where it came from."""
        if value := self.environ.get(_VARIABLES[name]):
            return value, _VARIABLES[name]
        if entry := self.entries.get(name):
            return entry.value, entry.where
        return self.defaults.get(name), "default"

    def given(self) -> dict[str, str]:
        """The flags that change something."""
        flags = {name: self.flags[name] for name in FLAGS if self.flags.get(name)}
        return {name: value for name, value in flags.items() if value != self.standing(name)[0]}


def _stage(sources: _Sources) -> str:
    from imgpipe.stack.names import validate_stage

    stage = sources.choose("stage") or ""
    try:
        return validate_stage(stage)
    except ImgpipeError as error:
        raise usage(f"{sources.origins['stage']}: {error.message}", error.hint) from None


def _target(sources: _Sources) -> str:
    target = sources.choose("target") or ""
    if target not in TARGETS:
        from difflib import get_close_matches

        close = get_close_matches(target, TARGETS, n=1)
        guess = f" Did you mean {close[0]}?" if close else ""
        message = f"{sources.origins['target']}: there is no target {target!r}.{guess}"
        raise ImgpipeError("unknown_target", message, "choose local, localstack or aws", ExitStatus.USAGE)
    for name, owner in (("endpoint_url", "localstack"), ("profile", "aws")):
        if sources.flags.get(name) and target != owner:
            flag = FLAGS[name]
            raise usage(f"{flag} belongs to the target {owner}, not {target}.", f"leave {flag} out, or add -t {owner}")
    return target


def _region(sources: _Sources, target: str) -> str:
    if target != "aws":
        sources.defaults["region"] = EMULATOR_REGION
    if (region := sources.choose("region")) is None:
        region, sources.origins["region"] = _ambient_region(sources)
    if re.fullmatch(r"[a-z]{2,}(-[a-z]+)+-\d+", region):
        return region
    message, hint = (
        f"{sources.origins['region']}: {region!r} is not the name of an AWS region.",
        "add --region eu-west-1, or another that exists",
    )
    if target == "aws":
        raise ImgpipeError("unknown_region", message, hint, ExitStatus.UNREACHABLE)
    raise usage(message, hint)


def _ambient_region(sources: _Sources) -> tuple[str, str]:
    """The region that AWS's own tools would take, and where it came from."""
    if variable := _set(sources.environ, "AWS_REGION", "AWS_DEFAULT_REGION"):
        return sources.environ[variable], variable
    import botocore.exceptions
    import botocore.session

    session = botocore.session.Session(profile=sources.choose("profile"))
    # A profile that is not there is botocore's to name: without it there is no region either.
    if region := session.get_scoped_config().get("region"):
        return str(region), f"the profile {session.profile or 'default'}"
    if session.get_credentials() is None:  # without them, the region is the lesser question
        raise botocore.exceptions.NoCredentialsError()
    raise usage(
        "Which region? Neither a flag, the environment, the file nor the profile names one.",
        "add --region eu-west-1, or set region in imgpipe.toml",
    )


def _account(sources: _Sources) -> str | None:
    account = sources.choose("account")
    if account is not None and not re.fullmatch(r"[0-9]{12}", account):
        raise usage(f"IMGPIPE_ACCOUNT is the 12 digits of an AWS account, not {account!r}.", "unset IMGPIPE_ACCOUNT")
    return account


def _endpoint(sources: _Sources) -> str | None:
    if (url := sources.choose("endpoint_url")) is None:
        return None
    from ipaddress import ip_address
    from urllib.parse import urlsplit

    try:
        parts = urlsplit(url)
        host, port = parts.hostname or "", parts.port
        loopback = host == "localhost" or ip_address(host).is_loopback
    except ValueError:
        loopback, port = False, None
    else:
        bare = parts._replace(scheme="", netloc="", path=parts.path.rstrip("/")).geturl() == ""
        loopback = loopback and bare and parts.scheme in ("http", "https") and "@" not in parts.netloc and port != 0
    if not loopback:
        raise usage(
            f"{sources.origins['endpoint_url']}: {url!r} is not an address on this machine such as "
            "http://127.0.0.1:4566.",
            "use --endpoint-url http://127.0.0.1:4566",
        )
    return url.rstrip("/")


def _parameters(entries: Mapping[str, Entry]) -> dict[str, str]:
    if not entries:
        return {}
    from imgpipe.stack.parameters import PARAMETERS

    said = {one.name: one.text(entries[one.place].value) for one in PARAMETERS if one.place in entries}
    if configfile.recipe(entries):
        said["Renditions"] = configfile.recipe_json(entries)
    if formats := entries.get("formats"):
        said["Formats"] = ",".join(formats.value)
    return said


def _set(environ: Mapping[str, str], *names: str) -> str | None:
    return next((name for name in names if environ.get(name)), None)


def _state(environ: Mapping[str, str]) -> Path:
    if home := environ.get("IMGPIPE_HOME"):
        return Path(home).expanduser().absolute()
    from platformdirs import user_state_path

    return user_state_path("imgpipe", appauthor=False)


def _home_folder(environ: Mapping[str, str]) -> Path | None:
    home = environ.get("HOME" if os.name != "nt" else "USERPROFILE")
    return Path(home) if home else None


def _port(environ: Mapping[str, str]) -> int | None:
    if not (text := environ.get("IMGPIPE_PORT")):
        return None
    if not text.isdecimal() or not 1 <= int(text) <= 65535:
        raise usage(f"IMGPIPE_PORT is a port from 1 to 65535, not {text!r}.", "unset IMGPIPE_PORT to use 4580")
    return int(text)

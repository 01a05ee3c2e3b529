"""The only place that makes clients of AWS."""

from __future__ import annotations

import threading
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar
from urllib.parse import urlsplit

from imgpipe import __version__
from imgpipe.errors import ExitStatus, ImgpipeError

if TYPE_CHECKING:
    from imgpipe.targets.base import Connection

_EMULATED_S3 = {
    "addressing_style": "path",
    # "legacy", botocore's default, would look for an address that all regions of AWS share.
    "us_east_1_regional_endpoint": "regional",
    # Over plain HTTP every upload would be hashed for its signature. A checksum guards the bytes as it is.
    "payload_signing_enabled": False,
}


class Clients:
    """Clients for one connection, each made when it is first asked for.

    They are botocore's, which boto3's are as well: what boto3 adds to them, nothing here uses, and importing it takes
    as long as a call.

    A target with an endpoint of its own is given its keys and its region explicitly; neither the environment nor a file
    says anything more, so ambient credentials can never leak into it, nor it into AWS.

    Without an endpoint it is AWS: then everything the user has configured holds (profile, SSO, FIPS, dual stack, proxy,
    an endpoint of a VPC), but for an endpoint that is not AWS's. Who says `-t aws` shall not be answered by an emulator
    because AWS_ENDPOINT_URL is still set.
    """

    def __init__(self, connection: Connection) -> None:
        self.connection = connection
        self._made: dict[str, Any] = {}
        self._session: Any = None
        self._domains: tuple[str, ...] = ()
        self._making = threading.Lock()

    def __getitem__(self, service: str) -> Any:
        """The client of a service by botocore's name for it ("s3", "cloudformation")."""
        # Clients may be shared by threads, but making them may not.
        with self._making:
            if service not in self._made:
                self._made[service] = self._make(service)
            return self._made[service]

    def _make(self, service: str) -> Any:
        from botocore.config import Config

        here = self.connection
        emulated = here.endpoint_url is not None
        if self._session is None:
            self._session = self._make_session(emulated)
        client = self._session.create_client(
            service,
            region_name=here.region,
            endpoint_url=here.endpoint_url,
            aws_access_key_id=here.access_key_id,
            aws_secret_access_key=here.secret_access_key,
            config=Config(
                connect_timeout=5,
                # LocalStack loads a service when it is first called, which can take as long as a cold machine takes.
                read_timeout=60,
                max_pool_connections=32,
                retries={"mode": "standard", "max_attempts": 4},
                user_agent_extra=f"imgpipe/{__version__}",
                s3=_EMULATED_S3 if emulated else None,
                # A proxy of the environment must not see calls that stay on this machine.
                proxies={"http": None, "https": None} if emulated else None,
            ),
        )
        if not emulated:
            _refuse_a_stranger(service, client.meta.endpoint_url, self._domains)
        return client

    def _make_session(self, emulated: bool) -> Any:
        here = self.connection
        if emulated:
            return _isolated(here.region)
        from botocore.session import Session

        session = Session(profile=here.profile)
        session.set_config_variable("region", here.region)
        partitions = session.get_data("partitions")["partitions"]
        names = ("dnsSuffix", "dualStackDnsSuffix")
        self._domains = tuple("." + one["outputs"][name] for one in partitions for name in names)
        return session


def _isolated(region: str) -> Any:
    """A botocore session that is told its region and no more: what is broken must not stop those who do not need it."""
    import botocore.session
    from botocore.configprovider import BOTOCORE_DEFAUT_SESSION_VARIABLES, ConfigValueStore, ConstantProvider
    from botocore.loaders import Loader

    class Isolated(botocore.session.Session):  # type: ignore[misc]
        full_config: ClassVar[dict[str, Any]] = {"profiles": {}}

    class Models(Loader):  # type: ignore[misc]
        """botocore's models of the services, and none of the user's below ~/.aws.

        Who has an endpoint needs no megabyte of AWS's own, nor a search of 400 folders for the services there are.
        """

        def list_available_services(self, type_name: str) -> list[str]:
            del type_name
            return [one.name for one in Path(self.BUILTIN_DATA_PATH).iterdir()]

        def load_data_with_path(self, name: str) -> tuple[Any, str]:
            if name == "endpoints":
                return {"partitions": []}, str(Path(self.BUILTIN_DATA_PATH, name))
            found: tuple[Any, str] = super().load_data_with_path(name)
            return found

    session = Isolated()
    session.register_component("data_loader", Models([Models.BUILTIN_DATA_PATH], include_default_search_paths=False))
    # botocore's own defaults, without the files and variables that it would ask first. (The name is spelt that way.)
    defaults = {name: ConstantProvider(spec[2]) for name, spec in BOTOCORE_DEFAUT_SESSION_VARIABLES.items()}
    defaults["region"] = ConstantProvider(region)
    session.register_component("config_store", ConfigValueStore(mapping=defaults))
    return session


def _refuse_a_stranger(service: str, url: str, domains: tuple[str, ...]) -> None:
    """Raise ImgpipeError (exit 6) where `url` is not below one of AWS's own domains, as a VPC's endpoints are."""
    there = urlsplit(url)
    if there.scheme == "https" and (there.hostname or "").endswith(domains):
        return
    raise ImgpipeError(
        "not_aws",
        f"The environment or the AWS profile sends {service} to {url}, which is not AWS.",
        "unset AWS_ENDPOINT_URL, or export AWS_IGNORE_CONFIGURED_ENDPOINT_URLS=true; for LocalStack, -t localstack",
        ExitStatus.REFUSED,
    )

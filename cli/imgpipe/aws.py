"""The only place that makes boto3 clients."""

from __future__ import annotations

import threading
from typing import TYPE_CHECKING, Any, ClassVar

if TYPE_CHECKING:
    from imgpipe.targets.base import Connection


class Clients:
    """boto3 clients for one connection, each made when it is first asked for.

    A target with an endpoint of its own is given its keys explicitly and reads neither profile nor credential files,
    so ambient credentials can never leak into it, nor it into AWS.
    """

    def __init__(self, connection: Connection) -> None:
        self.connection = connection
        self._made: dict[str, Any] = {}
        self._session: Any = None
        self._making = threading.Lock()

    def __getitem__(self, service: str) -> Any:
        """The client of a service by boto3's name for it ("s3", "cloudformation")."""
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
        return self._session.client(
            service,
            endpoint_url=here.endpoint_url,
            config=Config(
                connect_timeout=5,
                read_timeout=60,
                max_pool_connections=32,
                retries={"mode": "standard", "max_attempts": 4},
                s3={"addressing_style": "path"} if emulated else None,
                ignore_configured_endpoint_urls=not emulated,
                # A proxy of the environment must not see calls that stay on this machine.
                proxies={"http": None, "https": None} if emulated else None,
            ),
        )

    def _make_session(self, emulated: bool) -> Any:
        import boto3
        import botocore.session

        class Isolated(botocore.session.Session):  # type: ignore[misc]
            """Finds neither profiles nor files: one that is missing or broken must not stop what needs none."""

            full_config: ClassVar[dict[str, Any]] = {"profiles": {}}

            def get_scoped_config(self) -> dict[str, Any]:
                return {}

        here = self.connection
        return boto3.Session(
            aws_access_key_id=here.access_key_id,
            aws_secret_access_key=here.secret_access_key,
            region_name=here.region,
            profile_name=here.profile,
            botocore_session=Isolated() if emulated else None,
        )

"""The function's clients of AWS, made and connected with as little work as botocore can be talked into."""

from __future__ import annotations

import ssl
from functools import cache
from typing import Any

import botocore.session
from botocore import httpsession
from botocore.config import Config


class _ReadsOnce(ssl.SSLContext):
    """A TLS context that reads a file of certificate authorities once.

    urllib3 reads the file again for every connection it opens, some 60 ms of CPU each, and an image takes five
    connections: without this, a function that is called now and then works longer on certificates than on pictures.
    """

    _read: frozenset[tuple[Any, ...]] = frozenset()

    def load_verify_locations(self, *where: Any) -> None:
        if where not in self._read:
            super().load_verify_locations(*where)
            self._read |= {where}


httpsession.SSLContext = _ReadsOnce
# One context for all clients, so that it is read once and not once for each.
httpsession.create_urllib3_context = cache(httpsession.create_urllib3_context)

_session = botocore.session.get_session()


def client(service: str, *, attempts: int) -> Any:
    """A client that gives up early: the queue tries again, while a function that times out cannot even say why."""
    retries = {"mode": "standard", "total_max_attempts": attempts}
    config = Config(connect_timeout=2, read_timeout=5, retries=retries, max_pool_connections=8)
    return _session.create_client(service, config=config)

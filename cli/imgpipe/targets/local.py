"""The target `local`: an engine on this machine, one per stage."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING

from imgpipe.errors import usage
from imgpipe.targets.base import Connection, Progress, emulator_parameters

if TYPE_CHECKING:
    from imgpipe.stack.bundle import Bundle


class LocalTarget:
    """The embedded engine of one stage, kept in a folder of that name below `home`.

    `port` None means 4580, or a free port where that is taken; a port that is named must be free.
    """

    name = "local"

    def __init__(self, stage: str, home: Path, port: int | None, region: str) -> None:
        from imgpipe.engine.folder import StageFolder

        self._stage = stage
        self._folder = StageFolder(home.absolute() / stage)
        self._port = port
        self._region = region

    def connect(self) -> Connection:
        """How to reach the engine; raises `not_up` (exit 4) where it does not run or does not answer."""
        from imgpipe.engine import supervisor

        running = supervisor.find(self._folder, self._stage)
        self._check_region()
        return self._connection(running.port)

    def start(self, progress: Progress) -> Connection:
        """Start the engine unless it runs already."""
        from imgpipe.engine import supervisor

        self._check_region()
        running = supervisor.start(self._folder, self._stage, self._port, self._region, progress)
        self._folder.region.touch(mode=0o600)
        self._folder.region.write_text(self._region)
        return self._connection(running.port)

    def stop(self) -> bool:
        """End the engine and its workers and keep what it holds; False when it did not run."""
        from imgpipe.engine import supervisor

        return supervisor.stop(self._folder)

    def destroy(self) -> None:
        """End the engine and remove its folder."""
        from imgpipe.engine import supervisor

        supervisor.destroy(self._folder)

    def parameters(self, said: Mapping[str, str]) -> dict[str, str]:
        """Two workers unless the configuration says otherwise, and retries within seconds."""
        return emulator_parameters(said)

    def bundle(self, parameters: Mapping[str, str], progress: Progress) -> Bundle:
        """Our source only: the engine's workers run on this interpreter, which has the libraries."""
        from imgpipe.stack.bundle import source_bundle

        del parameters, progress
        return source_bundle()

    def _check_region(self) -> None:
        """A stage lives in one region: what `down` counts must be all that it removes."""
        home = self._folder.region.read_text() if self._folder.region.is_file() else self._region
        if home != self._region:
            raise usage(
                f"The stage {self._stage!r} is in the region {home}, not in {self._region}.",
                f"imgpipe --region {home} status, or another --stage",
            )

    def _connection(self, port: int) -> Connection:
        return Connection(
            target=self.name,
            region=self._region,
            endpoint_url=f"http://127.0.0.1:{port}",
            access_key_id="test",
            secret_access_key="test",  # noqa: S106 - the emulator asks for one and checks none
        )

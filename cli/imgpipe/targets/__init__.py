"""Where a pipeline can run."""

from __future__ import annotations

from typing import TYPE_CHECKING

from imgpipe.errors import ExitStatus, ImgpipeError

if TYPE_CHECKING:
    from imgpipe.config import Config
    from imgpipe.targets.base import Target


def choose(config: Config) -> Target:
    """The target that a configuration names; raises `target_not_available` for one that this version lacks."""
    if config.target == "local":
        from imgpipe.targets.local import LocalTarget

        return LocalTarget(config.stage, config.home, config.port, config.region)
    raise ImgpipeError(
        "target_not_available",
        f"This version of imgpipe runs the target local only; {config.target} is not there yet.",
        "imgpipe -t local up",
        ExitStatus.USAGE,
    )

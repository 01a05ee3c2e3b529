"""Where a pipeline can run."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from imgpipe.config import Config
    from imgpipe.targets.base import Target


def choose(config: Config) -> Target:
    """The target that a configuration names."""
    if config.target == "local":
        from imgpipe.targets.local import LocalTarget

        return LocalTarget(config.stage, config.home, config.port, config.region)
    if config.target == "localstack":
        from imgpipe.targets.localstack import LocalStackTarget

        return LocalStackTarget(config.endpoint_url, config.region)
    from imgpipe.targets.aws import AwsTarget

    return AwsTarget(config.region, config.profile, config.account)

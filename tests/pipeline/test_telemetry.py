"""What the function says, and what it leaves unsaid."""

from __future__ import annotations

import logging

from image_pipeline import telemetry


def test_the_libraries_of_aws_only_warn() -> None:
    assert telemetry.logger.isEnabledFor(logging.INFO)
    assert not logging.getLogger("botocore.credentials").isEnabledFor(logging.INFO)
    assert logging.getLogger("botocore.credentials").isEnabledFor(logging.WARNING)

"""What `imgpipe reconcile` says and asks, whatever the pipeline is like."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any

import pytest

from imgpipe.commands import reconcile
from imgpipe.commands.base import Invocation
from imgpipe.console import Console
from imgpipe.errors import ExitStatus, ImgpipeError
from imgpipe.reconcile import Finding


def invocation(*, json: bool = False) -> Invocation:
    config: Any = SimpleNamespace(region="eu-west-1", stage="prod", given={})
    target: Any = None
    return Invocation(config, Console(json=json), target)


def test_much_to_mend_on_aws_is_refused_where_nobody_can_be_asked() -> None:
    reconcile._ask_if_costly(invocation(), reconcile.UNASKED)
    with pytest.raises(ImgpipeError) as refused:
        reconcile._ask_if_costly(invocation(), reconcile.UNASKED + 1)
    assert (refused.value.status, refused.value.hint) == (ExitStatus.REFUSED, "add --yes")
    assert "eu-west-1, stage prod" in refused.value.message


def test_an_age_is_a_number_and_a_unit() -> None:
    assert [reconcile._age(text) for text in ("0s", "90s", "10m", "2h", "7d")] == [0, 90, 600, 7200, 604_800]
    with pytest.raises(ImgpipeError) as wrong:
        reconcile._age("an hour")
    assert "--older-than" in wrong.value.message


def test_the_document_lists_so_many_findings_and_counts_them_all(capsys: pytest.CaptureFixture[str]) -> None:
    said = reconcile._Said(invocation(json=True))
    for number in range(reconcile._DETAILS + 5):
        said.hear(Finding("no_row", str(number), "the object has no row"))
    said.hear(Finding("stale", "young", "old", under_way="it changed 1 s ago"))
    assert len(said._details) == reconcile._DETAILS
    assert (said._omitted, said.under_way, dict(said.found)) == (6, 1, {"no_row": reconcile._DETAILS + 5})
    assert capsys.readouterr().out == ""

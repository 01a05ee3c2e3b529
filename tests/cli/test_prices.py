"""The file of prices: the one that comes with imgpipe, and what is wrong with others."""

from __future__ import annotations

import re
from datetime import date
from importlib.resources import files
from pathlib import Path

import pytest

from imgpipe.errors import ImgpipeError
from imgpipe.prices import load

SHIPPED = files("imgpipe").joinpath("prices.toml").read_text(encoding="utf-8")


def test_what_comes_with_imgpipe_names_its_day_its_region_and_its_source() -> None:
    prices = load()
    assert date.fromisoformat(prices.date) < date(2100, 1, 1)
    assert prices.region == "us-east-1"
    assert prices.source
    assert prices.lambda_gb_second_arm64 < prices.lambda_gb_second_x86_64
    assert (prices.gb_second("arm64"), prices.gb_second("x86_64")) == (
        prices.lambda_gb_second_arm64,
        prices.lambda_gb_second_x86_64,
    )


def test_a_copy_of_it_is_read_as_it_is(tmp_path: Path) -> None:
    (tmp_path / "prices.toml").write_text(SHIPPED.replace("2026-06-13", '"spring"'))
    found = load(tmp_path / "prices.toml")
    assert found.date == "spring"
    assert found.s3_thousand_puts == load().s3_thousand_puts


@pytest.mark.parametrize(
    ("old", "new", "said"),
    [
        (r"thousand_puts = \S+", "", "s3.thousand_puts is missing"),
        (r"thousand_puts = \S+", "thousand_puts = -1", "s3.thousand_puts is dollars"),
        (r"thousand_puts = \S+", "thousand_puts = nan", "s3.thousand_puts is dollars"),
        (r"thousand_puts = \S+", "thousand_puts = true", "s3.thousand_puts is dollars"),
        (r"thousand_puts = \S+", 'thousand_puts = "5"', "s3.thousand_puts is dollars"),
        (r"gb_second_arm64 = \S+", "", "lambda.gb_second_arm64 is missing"),
        (r"\[sqs\]", "[sns]", "sqs.million_requests is missing"),
        (r"\[sqs\]", "[sqs]\nmillion_fifo = 0.5", "there is no price sqs.million_fifo"),
        (r'region = "us-east-1"', "region = 1", "region is a text, not 1"),
        (r'source = ".*"', 'source = ""', "source is a text, not ''"),
        (r"date = \S+", "", "date is missing"),
        (r"date = \S+", "date = 2026", "date is a text, not 2026"),
        (r"\[sqs\]", "[sqs", "is not TOML"),
        (r"\[s3\].*\n", "s3 = 1\n[other]\n", "s3"),
    ],
)
def test_a_file_that_cannot_be_right_is_named_with_its_key(tmp_path: Path, old: str, new: str, said: str) -> None:
    path = tmp_path / "mine.toml"
    text, count = re.subn(old, new, SHIPPED)
    assert count == 1
    path.write_text(text)
    with pytest.raises(ImgpipeError) as failure:
        load(path)
    assert failure.value.status == 2
    assert str(path) in failure.value.message
    assert said in failure.value.message


def test_a_file_that_is_no_text_is_one_sentence(tmp_path: Path) -> None:
    (tmp_path / "photo.jpg").write_bytes(b"\xff\xd8\xff")
    with pytest.raises(ImgpipeError, match="is not TOML"):
        load(tmp_path / "photo.jpg")

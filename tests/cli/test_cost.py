"""The arithmetic of a bill, by hand and by its laws, and the command without a pipeline."""

from __future__ import annotations

import re
from dataclasses import fields, replace
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from image_pipeline.telemetry import UNITS
from imgpipe import cost
from imgpipe.commands.cost import _LABELS
from imgpipe.cost import MONTH, Traffic, Work, bill, estimate, share, standing
from imgpipe.prices import Prices, load
from imgpipe.rowsize import Row
from imgpipe.stack.template import template_body

from .conftest import Run

PRICES = load()
MILLION = Work(
    ready=1e6,
    settled=1e6,
    invocations=1e6,
    milliseconds=200 * 1e6,
    cold_starts=0,
    bytes_in=4e12,
    bytes_out=0.25e12,
    outputs=4,
    row=Row(units=3, index_units=2, item_bytes=2260, stored_bytes=2900),
    memory=1024,
)


def test_a_million_images_cost_what_they_cost_by_hand() -> None:
    found = bill(MILLION, PRICES)
    assert found.work == pytest.approx(
        {
            "lambda_duration": 200_000 * 0.0000166667,  # 1e6 x 0.2 s x 1 GB
            "lambda_requests": 0.20,
            "lambda_cold_starts": 0,
            "s3_requests": 5e6 / 1000 * 0.005 + 2e6 / 1000 * 0.0004,  # upload and four outputs; GET and HEAD
            "sqs_requests": 3 * 0.40,  # send, receive, delete
            "dynamodb_writes": 3 * 0.625,
            "dynamodb_index_writes": 2 * 0.625,
            "dynamodb_reads": 0.125,
            "cloudwatch_logs": 1800e6 / 2**30 * 0.50,
        }
    )
    assert found.total == pytest.approx(34.62, abs=0.01)
    assert found.storage == pytest.approx({"originals": 85.68, "renditions": 5.355, "records": 1.115}, abs=0.01)


def test_what_fails_is_retried_deleted_or_unchanged_is_billed_by_what_it_does() -> None:
    row = Row(units=3, index_units=2, item_bytes=5000, stored_bytes=6000)
    work = replace(
        MILLION, ready=10, failed=3, deleted=2, settled=16, retried=4, invocations=20, cold_starts=2, row=row
    )
    found = bill(work, PRICES).work
    assert found["lambda_requests"] == pytest.approx(20 * 0.2e-6)
    assert found["lambda_cold_starts"] == pytest.approx(2 * 0.5 * 0.0000166667)
    puts, gets = 10 * 5 + 3, 2 * (10 + 3 + 2) + 1 + 4
    assert found["s3_requests"] == pytest.approx(puts * 0.005e-3 + gets * 0.0004e-3)
    assert found["sqs_requests"] == pytest.approx((3 * 16 + 3 * 4) * 0.4e-6)
    assert found["dynamodb_writes"] == pytest.approx((12 * 3 + 3) * 0.625e-6)
    assert found["dynamodb_index_writes"] == pytest.approx((15 * 2 + 3) * 0.625e-6)
    assert found["dynamodb_reads"] == pytest.approx((13 + (2 + 1 + 4) * 2) * 0.125e-6)


amounts = st.floats(0, 1e9)
QUANTITIES = [one.name for one in fields(Work) if one.name not in ("row", "memory", "architecture")]
works = st.builds(
    Work,
    **dict.fromkeys(QUANTITIES, amounts),
    row=st.builds(Row, *[st.floats(1, 100)] * 2, *[st.floats(1, 400_000)] * 2),
    memory=st.integers(128, 10_240),
    architecture=st.sampled_from(["x86_64", "arm64"]),
)


@given(works, st.sampled_from(QUANTITIES), st.floats(0, 1e9))
def test_more_of_anything_is_never_cheaper(work: Work, name: str, more: float) -> None:
    larger = replace(work, **{name: getattr(work, name) + more})
    if name in ("ready", "failed", "deleted"):  # those that became something were settled, too
        larger = replace(larger, settled=work.settled + more)
    less, most = bill(work, PRICES), bill(larger, PRICES)
    assert most.total >= less.total * (1 - 1e-9)
    assert sum(most.storage.values()) >= sum(less.storage.values())


@given(works, st.sampled_from([one.name for one in fields(Prices) if one.type == "float"]), st.floats(0, 10))
def test_a_higher_price_is_never_cheaper(work: Work, name: str, more: float) -> None:
    dearer = replace(PRICES, **{name: getattr(PRICES, name) + more})
    before, after = bill(work, PRICES), bill(work, dearer)
    assert after.total >= before.total
    assert all(after.storage[one] >= before.storage[one] for one in before.storage)


@given(works, st.floats(0.001, 1000))
def test_twice_the_work_costs_twice_as_much(work: Work, factor: float) -> None:
    scaled = replace(work, **{name: getattr(work, name) * factor for name in QUANTITIES if name != "outputs"})
    whole, apart = bill(work, PRICES).times(factor), bill(scaled, PRICES)
    assert apart.work == pytest.approx(whole.work, rel=1e-6, abs=1e-9)
    assert apart.storage == pytest.approx(whole.storage)


def test_every_price_is_somewhere_in_the_bill() -> None:
    work = replace(MILLION, cold_starts=1)

    def everything(prices: Prices) -> list[float]:
        found = [bill(replace(work, architecture=one), prices) for one in ("x86_64", "arm64")]
        return [
            *(dollars for one in found for part in (one.work, one.storage) for dollars in part.values()),
            *standing(prices, dashboard=True, metrics=1).values(),
        ]

    for one in fields(Prices):
        if one.type == "float":
            assert everything(replace(PRICES, **{one.name: 100.0})) != everything(PRICES), one.name


def test_one_thread_is_slower_below_a_whole_core_and_no_faster_above() -> None:
    def duration(memory: int) -> float:
        return bill(replace(MILLION, memory=1769).at(memory, "x86_64"), PRICES).work["lambda_duration"]

    assert (share(512), share(1769), share(10_240)) == (pytest.approx(0.2894, abs=1e-4), 1, 1)
    assert duration(512) == pytest.approx(duration(1769))
    assert duration(3538) == pytest.approx(2 * duration(1769))
    arm = bill(replace(MILLION, memory=1769).at(1769, "arm64"), PRICES).work["lambda_duration"]
    assert arm / duration(1769) == pytest.approx(0.8, abs=1e-4)


def test_a_month_goes_on_as_it_was_measured_or_has_as_many_images_as_are_named() -> None:
    day = Traffic(work=MILLION, metrics=6, dashboard=False, seconds=86_400)
    found = estimate(day, PRICES)
    assert found.images == pytest.approx(1e6 * MONTH / 86_400)
    assert found.month is not None
    assert found.per_million is not None
    assert found.month.total == pytest.approx(found.per_million.total * 30.4167, rel=1e-4)
    twice = estimate(day, PRICES, images=2e6)
    assert twice.month is not None
    assert twice.month.total == pytest.approx(2 * found.per_million.total)


def test_an_assumed_time_is_that_of_the_memory_named_with_it() -> None:
    assumed = Traffic(work=replace(MILLION, memory=1769), metrics=6, dashboard=False)
    measured = replace(assumed, seconds=3600.0)
    assert assumed.on(1024, None).work.milliseconds == MILLION.milliseconds
    assert measured.on(1024, None).work.milliseconds == pytest.approx(MILLION.milliseconds * 1769 / 1024)
    assert assumed.on(None, "arm64").work.architecture == "arm64"


def test_what_costs_anyway_is_what_the_template_makes() -> None:
    alarms = re.findall(r"Type: AWS::CloudWatch::Alarm$", template_body(), re.MULTILINE)
    assert len(alarms) == cost.ALARMS
    # Of the function's metrics, these come only with a failure, a retry, a deletion or a strange message.
    sometimes = {"ImagesFailed", "ImagesRetried", "ImagesDeleted", "MessagesRejected"}
    assert len(set(UNITS) - sometimes) == cost.METRICS
    found = standing(PRICES, dashboard=True, metrics=8)
    assert found == pytest.approx({"alarms": 0.70, "queue_polling": 0.2628, "dashboard": 3, "metrics": 2.40})


def test_every_line_of_the_bill_has_its_label() -> None:
    found = bill(MILLION, PRICES)
    assert list(_LABELS) == [*found.work, "total", *found.storage, *standing(PRICES, dashboard=True, metrics=1)]


# ---------------------------------------------------------------- the command, with nothing up


def test_an_assumed_image_needs_no_pipeline(imgpipe: Run) -> None:
    done = imgpipe("cost", "--milliseconds", "200", "--memory", "1024", "--json")
    assert (done.status, done.err) == (0, "")
    document = done.document
    assert list(document) == ["prices", "basis", "per_million", "month", "standing_month"]
    assert document["prices"].keys() == {one.name for one in fields(Prices)}
    assert document["basis"] == {
        **{"seconds": None, "images": 1, "failed": 0, "deleted": 0, "retried": 0, "cold_starts": 0},
        **{"milliseconds": 200, "outputs": 4, "bytes_in": 4_000_000, "bytes_out": 250_000, "row_bytes": 2260},
        **{"memory_mb": 1024, "architecture": "x86_64"},
    }
    expected = bill(MILLION, PRICES)
    assert document["per_million"].keys() == {"work", "total", "storage_month"}
    assert document["per_million"]["work"] == pytest.approx(dict(expected.work), abs=1e-6)
    assert document["per_million"]["total"] == pytest.approx(expected.total, abs=1e-6)
    assert document["month"] is None
    assert document["standing_month"].keys() == {"alarms", "queue_polling", "dashboard", "metrics"}


def test_the_configuration_says_what_would_be_deployed(imgpipe: Run, work: Path) -> None:
    (work / "imgpipe.toml").write_text(
        'renditions = [{ box = 2048, format = "webp" }]\nthumbnail = false\n'
        '[parameters]\nmemory = 3008\narchitecture = "arm64"\ndashboard = true\n'
    )
    found = imgpipe("cost", "--milliseconds", "100", "--images", "500000", "--megabytes", "0.5", "--json").document
    basis = found["basis"]
    assert (basis["outputs"], basis["memory_mb"], basis["architecture"]) == (1, 3008, "arm64")
    assert basis["bytes_in"] == 500_000
    assert found["standing_month"]["dashboard"] == 3
    assert found["month"]["images"] == 500_000
    assert found["month"]["total"] == pytest.approx(found["per_million"]["total"] / 2, abs=1e-5)


def test_a_pipe_gets_names_and_dollars(imgpipe: Run) -> None:
    done = imgpipe("cost", "--milliseconds", "200", "--images", "2000000")
    rows = {name: amounts for name, *amounts in (line.split("\t") for line in done.out.splitlines())}
    assert list(rows) == list(_LABELS)
    assert float(rows["total"][1]) == pytest.approx(2 * float(rows["total"][0]), abs=1e-5)
    assert rows["alarms"] == ["", "0.700000"]
    assert done.err == ""


def test_a_terminal_gets_a_table_with_the_day_and_region_of_the_prices(process: Run) -> None:
    done = process("cost", "--milliseconds", "200", env={"FORCE_COLOR": "1", "TERM": "xterm", "COLUMNS": "80"})
    plain = re.sub(r"\x1b\[[\d;]*m", "", done.out)
    assert "An assumed image: 200 ms, 4 outputs, 4.0 MB in, 250 kB out; 1769 MB of x86_64" in plain
    assert f"list prices of us-east-1 as of {PRICES.date}, before free tiers" in plain
    assert re.search(r"together +\d+\.\d\d", plain)
    assert max(map(len, plain.splitlines())) <= 80


def test_prices_come_from_a_file_or_a_variable(imgpipe: Run, work: Path) -> None:
    shipped = Path(cost.__file__).with_name("prices.toml").read_text()
    (work / "mine.toml").write_text(shipped.replace('"us-east-1"', '"eu-west-1"').replace("0.005 ", "0.0054 "))
    by_flag = imgpipe("cost", "--milliseconds", "200", "--prices", "mine.toml", "--json").document
    by_variable = imgpipe("cost", "--milliseconds", "200", "--json", env={"IMGPIPE_PRICES": "mine.toml"}).document
    assert by_flag == by_variable
    assert by_flag["prices"]["region"] == "eu-west-1"
    assert by_flag["per_million"]["work"]["s3_requests"] == pytest.approx(5 * 5.4 + 0.8)


@pytest.mark.parametrize(
    ("arguments", "status", "said"),
    [
        (("--milliseconds", "200", "--since", "1d"), 2, "give one of them"),
        (("--milliseconds", "200", "--megabytes", "nan"), 2, "--megabytes cannot be nan"),
        (("--milliseconds", "200", "--megabytes", "0"), 2, "--megabytes cannot be 0"),
        (("--milliseconds", "0"), 2, "--milliseconds"),
        (("--memory", "64"), 2, "--memory"),
        (("--images", "0"), 2, "--images"),
        (("--architecture", "sparc"), 2, "sparc"),
        (("--since", "soon"), 2, "--since cannot be 'soon'"),
        (("--prices", "nowhere.toml"), 2, "nowhere.toml cannot be read"),
        ((), 4, "not up"),
    ],
)
def test_wrong_use_is_one_sentence_and_a_hint(imgpipe: Run, arguments: tuple[str, ...], status: int, said: str) -> None:
    done = imgpipe("cost", *arguments)
    assert (done.status, done.out) == (status, "")
    error, hint = done.err.splitlines()
    assert error.startswith("error: ")
    assert said in error
    assert hint.startswith(" hint: ")


def test_where_nothing_is_up_the_hint_says_how_to_reckon_all_the_same(imgpipe: Run) -> None:
    assert "imgpipe --stage shop cost --milliseconds 200" in imgpipe("--stage", "shop", "cost").err

"""A repeated failure is logged with its traceback once, then with a count."""

from __future__ import annotations

import pytest
from structlog.testing import capture_logs

from crmgql.errors import DatabaseTrouble
from crmgql.workers import failures
from crmgql.workers.failures import Failures


class Hand:
    def __init__(self) -> None:
        self.now = 0.0

    def __call__(self) -> float:
        return self.now


def fails(n: int) -> Exception:
    try:
        raise RuntimeError(f"no such id: {n}")
    except RuntimeError as error:
        return error


def fails_otherwise() -> Exception:
    try:
        raise RuntimeError("no such id: 0")
    except RuntimeError as error:
        return error


@pytest.fixture
def clock() -> Hand:
    return Hand()


def test_the_traceback_comes_once_and_then_a_count_each_minute(clock) -> None:
    known = Failures(clock)
    with capture_logs() as lines:
        for n in range(150):
            known.note("job failed", fails(n), kind="test")
            clock.now += 1
    assert [(line["event"], line["log_level"]) for line in lines] == [
        ("job failed", "error"),
        ("job failed, again", "error"),
        ("job failed, again", "error"),
    ]
    assert [bool(line.get("exc_info")) for line in lines] == [True, False, False]
    assert [line.get("times") for line in lines] == [None, 61, 121]
    assert all(line["kind"] == "test" for line in lines)


def test_another_failure_has_a_traceback_of_its_own(clock) -> None:
    known = Failures(clock)
    with capture_logs() as lines:
        known.note("job failed", fails(1))
        known.note("job failed", fails_otherwise())
        known.note("look failed", fails(1))
        clock.now = failures.QUIET_S + 1
        known.note("job failed", fails(1))
    assert [bool(line.get("exc_info")) for line in lines] == [True] * 4


def test_the_databases_trouble_is_a_warning_without_one(clock) -> None:
    known = Failures(clock)
    with capture_logs() as lines:
        known.note("jobs not claimed", DatabaseTrouble("away"))
        known.note("jobs not claimed", DatabaseTrouble("away"))
    assert [(line["log_level"], "exc_info" in line) for line in lines] == [("warning", False)]


def test_it_remembers_only_so_many(clock) -> None:
    known = Failures(clock)
    with capture_logs():
        for n in range(failures.MOST + 10):
            known.note(f"part {n}", fails(0))
    assert len(known._known) <= failures.MOST

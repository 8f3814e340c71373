"""Turns and shares: nobody's many requests keep others' few waiting, and nothing is lost when callers give up."""

from __future__ import annotations

import asyncio
import threading
import time
from collections.abc import AsyncIterator
from typing import Any

import pytest
import pytest_asyncio

from crmgql.engine import lanes, shares
from crmgql.engine.lanes import Lane
from crmgql.engine.shares import Shares
from crmgql.errors import Throttled
from crmgql.http import bodies
from crmgql.http.bodies import Bodies, Disconnected
from crmgql.http.refusals import Refused


@pytest_asyncio.fixture
async def lane() -> AsyncIterator[Lane]:
    made = Lane("test")
    yield made
    made.close()


async def test_clients_take_turns(lane: Lane) -> None:
    done: list[str] = []
    first = threading.Event()
    tasks = [asyncio.create_task(lane.run("busy", first.wait))]
    await asyncio.sleep(0)
    for name in ["busy"] * 20 + ["other", "third"]:
        tasks.append(asyncio.create_task(lane.run(name, done.append, name)))
    await asyncio.sleep(0)
    first.set()
    await asyncio.gather(*tasks)
    assert sorted(done[:3]) == ["busy", "other", "third"]
    assert len(done) == 22


async def test_what_work_raises_is_raised_and_the_next_goes_on(lane: Lane) -> None:
    def fail() -> None:
        raise ValueError("no")

    answers = await asyncio.gather(lane.run(1, fail), lane.run(1, lambda: 2), lane.run(2, fail), return_exceptions=True)
    assert [str(answer) for answer in answers] == ["no", "2", "no"]


async def test_one_client_can_not_pile_up_work(lane: Lane) -> None:
    gate = threading.Event()
    tasks = [asyncio.create_task(lane.run("a", gate.wait)) for _ in range(lanes.MOST_WAITING + 1)]
    await asyncio.sleep(0)
    with pytest.raises(Throttled):
        await lane.run("a", gate.wait)
    other = asyncio.create_task(lane.run("b", lambda: "done"))
    await asyncio.sleep(0)
    gate.set()
    assert await other == "done"
    await asyncio.gather(*tasks)


async def test_clients_beyond_the_most_leave_no_trace(lane: Lane, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(lanes, "MOST_CLIENTS", 2)
    gate = threading.Event()
    tasks = [asyncio.create_task(lane.run(client, gate.wait)) for client in ("running", "a", "b")]
    await asyncio.sleep(0.01)
    for client in range(100):
        with pytest.raises(Throttled):
            await lane.run(client, gate.wait)
    assert list(lane._waiting) == ["a", "b"]
    gate.set()
    assert await asyncio.gather(*tasks) == [True, True, True]


async def test_who_gives_up_does_not_stop_the_lane(lane: Lane) -> None:
    gate = threading.Event()
    tasks = [asyncio.create_task(lane.run(number % 3, gate.wait)) for number in range(12)]
    await asyncio.sleep(0)
    for task in tasks[::2]:
        task.cancel()
    gate.set()
    await asyncio.wait(tasks)
    assert await lane.run("a", lambda: 1) == 1


async def test_a_viewer_has_a_share_and_others_the_rest() -> None:
    made = Shares(4)
    for _ in range(3):
        await made.take("a")
    waiting = asyncio.create_task(made.take("a"))
    await asyncio.sleep(0)
    assert not waiting.done()
    await made.take("b")
    made.give("b")
    await asyncio.sleep(0)
    assert not waiting.done()
    made.give("a")
    await waiting
    for _ in range(3):
        made.give("a")
    assert (made._running, made._waiting) == ({}, {})


async def test_heavy_statements_share_half_whoever_asks() -> None:
    made = Shares(4)
    await made.take("a", heavy=True)
    await made.take("b", heavy=True)
    waiting = [asyncio.create_task(made.take(name, heavy=True)) for name in ("c", "c", "d")]
    await asyncio.sleep(0)
    await made.take("c")  # what is light waits for none of them
    made.give("a", heavy=True)
    made.give("b", heavy=True)
    await asyncio.sleep(0)
    assert [task.done() for task in waiting] == [True, False, True]
    made.give("c", heavy=True)
    await waiting[1]
    for name in ("c", "d"):
        made.give(name, heavy=True)
    made.give("c")
    assert (made._running, made._heavy) == ({}, 0)


async def test_waiting_has_an_end_and_a_limit(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(shares, "PATIENCE_S", 0.05)
    monkeypatch.setattr(shares, "MOST_WAITING", 2)
    made = Shares(1)
    await made.take("a")
    tasks = [asyncio.create_task(made.take("a")) for _ in range(2)]
    await asyncio.sleep(0)
    with pytest.raises(Throttled):
        await made.take("a")
    for task in tasks:
        with pytest.raises(Throttled):
            await task
    made.give("a")
    assert (made._running, made._waiting) == ({}, {})


async def test_shares_come_back_whatever_is_cancelled() -> None:
    made = Shares(4)

    async def use(name: str, heavy: bool) -> None:
        await made.take(name, heavy=heavy)
        try:
            await asyncio.sleep(0.001)
        finally:
            made.give(name, heavy=heavy)

    tasks = [asyncio.create_task(use(f"v{number % 5}", number % 3 == 0)) for number in range(300)]
    for _ in range(40):
        await asyncio.sleep(0.0005)
        tasks[int(time.perf_counter() * 1e6) % 300].cancel()
    await asyncio.wait(tasks)
    assert (made._running, made._heavy, made._waiting) == ({}, 0, {})


def arriving(*messages: Any) -> Any:
    left = list(messages)

    async def receive() -> Any:
        if not left:
            await asyncio.Event().wait()
        return left.pop(0)

    return receive


def part(body: bytes, *, more: bool = True) -> dict[str, Any]:
    return {"type": "http.request", "body": body, "more_body": more}


async def test_the_body_that_waits_longest_makes_room(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(bodies, "MOST_ARRIVING", 3)
    made = Bodies(60)
    tasks = [asyncio.create_task(made.read({}, arriving(), most=100)) for _ in range(3)]
    await asyncio.sleep(0)
    assert await made.read({}, arriving(part(b"a"), part(b"b", more=False)), most=100) == b"ab"
    with pytest.raises(Refused) as caught:
        await tasks[0]
    assert (caught.value.status, caught.value.code) == (408, "REQUEST_TIMEOUT")
    assert not any(task.done() for task in tasks[1:])
    for task in tasks[1:]:
        task.cancel()
    await asyncio.wait(tasks[1:])
    assert (made._arriving, made._bytes) == ({}, 0)


async def test_bytes_that_arrive_are_bounded(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(bodies, "MOST_BYTES", 1000)
    made = Bodies(60)
    tasks = [asyncio.create_task(made.read({}, arriving(part(b"x" * 300)), most=5000)) for _ in range(3)]
    await asyncio.sleep(0)
    assert await made.read({}, arriving(part(b"x" * 200), part(b"", more=False)), most=5000) == b"x" * 200
    with pytest.raises(Refused):
        await tasks[0]
    assert made._bytes == 600
    with pytest.raises(Refused):  # more than all may have: it is the last to make room for itself
        await made.read({}, arriving(part(b"x" * 1200)), most=5000)
    for task in tasks[1:]:
        with pytest.raises(Refused):
            await task
    assert (made._arriving, made._bytes) == ({}, 0)


async def test_bodies_end_with_their_clients_and_tasks() -> None:
    made = Bodies(60)
    with pytest.raises(Disconnected):
        await made.read({}, arriving(part(b"a"), {"type": "http.disconnect"}), most=100)
    with pytest.raises(Refused, match="too large"):
        await made.read({}, arriving(part(b"a" * 60), part(b"a" * 60)), most=100)
    task = asyncio.create_task(made.read({}, arriving(part(b"a")), most=100))
    await asyncio.sleep(0)
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    assert (made._arriving, made._bytes) == ({}, 0)

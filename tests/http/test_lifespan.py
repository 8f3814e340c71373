"""What is opened at start is closed at stop, whatever ended meanwhile."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest
from structlog.testing import capture_logs

from crmgql import app
from crmgql.config import Settings
from crmgql.dev import embedded
from crmgql.workers.bells import Bells


async def test_work_beside_that_breaks_is_logged_and_stops_no_stopping(
    servers: embedded.Servers, http_database_url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def breaks(_: object) -> None:
        raise RuntimeError("oh")

    stopped: list[Bells] = []

    async def stop(bells: Bells) -> None:
        stopped.append(bells)

    monkeypatch.setattr(app.table_sizes, "keep", breaks)
    monkeypatch.setattr(Bells, "stop", stop)
    monkeypatch.setattr(app.garbage, "leave_out", lambda: None)  # it would leave out what other tests have made
    settings = Settings(database_url=http_database_url, redis_url=servers.redis_url, secret_key="x" * 40, pool_size=2)
    received: asyncio.Queue[dict[str, Any]] = asyncio.Queue()
    sent: list[str] = []

    async def send(message: Any) -> None:
        sent.append(message["type"])
        if message["type"] == "lifespan.startup.complete":
            await asyncio.sleep(0.05)
            await received.put({"type": "lifespan.shutdown"})

    await received.put({"type": "lifespan.startup"})
    with capture_logs() as lines:
        await app.build_app(settings)({"type": "lifespan"}, received.get, send)
    assert sent == ["lifespan.startup.complete", "lifespan.shutdown.complete"]
    assert len(stopped) == 1
    assert [line["event"] for line in lines] == ["work beside the requests ended"]

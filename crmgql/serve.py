"""Runs the API behind Granian; docs/decisions/0002-http-server.md says why Granian.

A start takes seconds, nearly all of them for imports and the schema. The main process spends them, and forks workers that
are ready in a moment; docs/decisions/0015-killed-processes.md.
"""

from __future__ import annotations

import asyncio
import os
import resource
import signal
import sys
import tempfile
import time
from collections.abc import Callable
from contextlib import suppress
from functools import partial
from pathlib import Path
from typing import Any

from granian import _signals
from granian.constants import Interfaces, Loops, RuntimeModes
from granian.http import HTTP1Settings
from granian.server import MPServer
from starlette.types import ASGIApp

from crmgql import app, garbage, logs, secrets_file
from crmgql.config import Settings
from crmgql.dev import supervise
from crmgql.errors import SetupError
from crmgql.http import addresses, cors
from crmgql.schema import build

STOP_S = 5
"""How long requests in flight may take when the server stops."""

SWITCH_S = 0.001
"""How soon a thread that works in pure Python gives the event loop its turn; Python's own choice is five times as long."""

SETTLES_S = 10
"""A worker that gives up earlier than this can't start."""

BACKLOG, MOST_AT_ONCE = 2048, 2048
"""Connections that wait to be taken up, and requests of a worker under way besides streams: twice as many as may be arriving
slowly."""

RUNTIME = RuntimeModes.st
"""Granian's network thread takes up what it is given one after the other. In its other mode frames of a WebSocket that are handed over
in a row may be sent in another order."""

HEADERS_MS = 10_000
"""How long a request's headers may take."""

PACE_S = 1
"""The least time between two starts of the same worker."""

PORT_PATIENCE_S = 2
"""How long the workers of a killed server may hold its port."""


def serve(settings: Settings, *, standby: bool = False) -> None:
    """Serves until SIGTERM or SIGINT. Call it from the main thread. Raises `SetupError` when the port is taken.

    With `standby` all is prepared and nothing opened until a line comes on stdin; its end without one is the end of it.
    Exits with status 1 when a worker can't start; it has logged why.
    """
    logs.set_up(settings)
    if not standby:
        supervise.port_is_free(settings.host, settings.port)
    # What every worker would fail on is reported once, here.
    cors.origins(settings.cors_origins)
    addresses.networks(settings.trusted_proxies)
    secrets_file.secret(settings)
    _allow_many_connections()
    _prepare()
    if standby:
        if not sys.stdin.readline():
            return
        _wait_for_port(settings)
    with tempfile.TemporaryDirectory(prefix="crmgql-metrics-") as shared:
        server = Server(
            "crmgql",
            address=settings.host,
            port=settings.port,
            interface=Interfaces.ASGI,
            workers=settings.workers,
            loop=Loops.uvloop,
            runtime_mode=RUNTIME,
            log_level=logs.server_level(settings),
            log_dictconfig=logs.server_config(),
            workers_kill_timeout=STOP_S,
            backlog=BACKLOG,
            backpressure=MOST_AT_ONCE + settings.max_streams,
            http1_settings=HTTP1Settings(header_read_timeout=HEADERS_MS),
        )
        shared_metrics = Path(shared) if settings.workers > 1 else None
        server.serve(target_loader=partial(_load, os.getpid(), settings, shared_metrics), wrap_loader=False)


class Server(MPServer):
    """Granian with another answer to a worker's death: however often it is killed, it is started again, and at once.

    Its own answer is to end when the only worker dies, and to give up on any that dies twice within 5.5 s.
    """

    def _serve_loop(self, spawn_target: Any, target_loader: Any) -> None:
        while True:
            self.main_loop_interrupt.wait()
            self.main_loop_interrupt.clear()
            if self.interrupt_signal:
                return
            for index in list(self.interrupt_children):
                died = self.wrks[index]
                lived_s = time.monotonic() - died.birth
                if died.inner.exitcode > 0 and lived_s < SETTLES_S:
                    return  # with the worker among the interrupted, which makes the exit status 1
                time.sleep(max(0, PACE_S - lived_s))
                self.interrupt_children.remove(index)
                self._respawn_workers([index], spawn_target, target_loader)
            if self.reload_signal:
                self._reload(spawn_target, target_loader)  # type: ignore[no-untyped-call]


def _allow_many_connections() -> None:
    """As many as the system lets us have without asking: the usual 1,024 are fewer than may come at once."""
    _, most = resource.getrlimit(resource.RLIMIT_NOFILE)
    with suppress(ValueError):  # macOS says that there is no limit, and takes no such number
        resource.setrlimit(resource.RLIMIT_NOFILE, (most, most))


def _prepare() -> None:
    """Builds the schema. The collector leaves out what is there by now: looking at it would unshare its memory."""
    asyncio.run(build.prepare())
    garbage.leave_out()


def _wait_for_port(settings: Settings) -> None:
    deadline = time.monotonic() + PORT_PATIENCE_S
    while time.monotonic() < deadline:
        with suppress(SetupError):
            return supervise.port_is_free(settings.host, settings.port)
        time.sleep(0.02)
    return supervise.port_is_free(settings.host, settings.port)


def _load(parent: int, settings: Settings, shared_metrics: Path | None) -> ASGIApp:
    """Runs in each worker process, which may not have inherited what the parent set up.

    When the parent is killed, its workers go at once: they would keep the port, and nobody could stop them.
    """
    supervise.die_with(parent, signal.SIGKILL)
    logs.set_up(settings)
    sys.setswitchinterval(SWITCH_S)
    application = app.build_app(settings, shared_metrics)
    _tell_of_stop(application.stopping)
    return application


def _tell_of_stop(stopping: Callable[[], None]) -> None:
    """Granian waits for the requests under way and tells nobody: an event stream would keep it waiting for all of `STOP_S`."""
    set_signals = _signals.set_loop_signals

    def set_loop_signals(loop: asyncio.AbstractEventLoop) -> Any:
        stop = set_signals(loop)  # type: ignore[no-untyped-call]

        def both() -> None:
            stop.set()
            stopping()

        for number in (signal.SIGINT, signal.SIGTERM):
            loop.add_signal_handler(number, both)
        return stop

    _signals.set_loop_signals = set_loop_signals

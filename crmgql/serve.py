"""Runs the API behind Granian; docs/decisions/0002-http-server.md says why Granian."""

from __future__ import annotations

import sys
import tempfile
from functools import partial
from pathlib import Path

from granian import Granian
from granian.constants import Interfaces, Loops
from starlette.types import ASGIApp

from crmgql import app, logs, secrets_file, supervise
from crmgql.config import Settings
from crmgql.schema import cors

STOP_S = 5
"""How long requests in flight may take when the server stops."""

SWITCH_S = 0.001
"""How soon a thread that works in pure Python gives the event loop its turn; Python's own choice is five times as long."""


def serve(settings: Settings) -> None:
    """Serves until SIGTERM or SIGINT. Call it from the main thread. Raises `SetupError` when the port is taken.

    Exits with status 1 when a worker can't start; it has logged why.
    """
    logs.set_up(settings)
    supervise.port_is_free(settings.host, settings.port)
    # What every worker would fail on is told once, here; workers that fail are started again.
    cors.origins(settings.cors_origins)
    secrets_file.secret(settings)
    with tempfile.TemporaryDirectory(prefix="crmgql-metrics-") as shared:
        server = Granian(
            "crmgql",
            address=settings.host,
            port=settings.port,
            interface=Interfaces.ASGI,
            workers=settings.workers,
            loop=Loops.uvloop,
            log_level=logs.server_level(settings),
            log_dictconfig=logs.server_config(),
            respawn_failed_workers=settings.workers > 1,
            workers_kill_timeout=STOP_S,
        )
        server.serve(
            target_loader=partial(_load, settings, Path(shared) if settings.workers > 1 else None), wrap_loader=False
        )


def _load(settings: Settings, shared_metrics: Path | None) -> ASGIApp:
    """Runs in each worker process, which may not have inherited what the parent set up."""
    logs.set_up(settings)
    sys.setswitchinterval(SWITCH_S)
    return app.build_app(settings, shared_metrics)

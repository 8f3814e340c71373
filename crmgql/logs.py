"""What is logged, and how it looks: structlog for our own lines, the standard library's for those of our libraries.

All of it goes to stderr, as one JSON object a line or, on a terminal, in colours; stdout is for what a command answers.
"""

from __future__ import annotations

import logging
import sys
from contextvars import ContextVar
from typing import Any

import orjson
import structlog
from granian.log import LogLevels
from structlog.typing import EventDict, Processor, WrappedLogger

from crmgql.config import Settings

LEVELS = {"debug": logging.DEBUG, "info": logging.INFO, "warning": logging.WARNING, "error": logging.ERROR}

CHATTY = ("tortoise", "asyncio", "httpx", "httpcore", "opentelemetry", "arq.jobs", "tortoise.db_client")
"""Libraries whose info lines say nothing to an operator."""

request_id: ContextVar[bytes | None] = ContextVar("request_id", default=None)
"""The HTTP request that is being answered; each of its lines carries it. structlog's own way takes ten times as long."""


def set_up(settings: Settings) -> None:
    """Configures both; may be called again."""
    level = LEVELS[settings.log_level]
    as_json = _as_json(settings)
    structlog.configure(
        processors=[*_shared(), *_rendered(as_json)],
        wrapper_class=structlog.make_filtering_bound_logger(level),
        logger_factory=structlog.BytesLoggerFactory(sys.stderr.buffer)
        if as_json
        else structlog.WriteLoggerFactory(sys.stderr),
        cache_logger_on_first_use=True,
    )
    handler = logging.StreamHandler(sys.stderr)
    handler.setFormatter(
        structlog.stdlib.ProcessorFormatter(
            foreign_pre_chain=[*_shared(), _named],
            processors=[structlog.stdlib.ProcessorFormatter.remove_processors_meta, *_rendered(as_json, text=True)],
        )
    )
    logging.root.handlers = [handler]
    logging.root.setLevel(level)
    for name in CHATTY:
        logging.getLogger(name).setLevel(max(level, logging.WARNING))


def server_config() -> dict[str, Any]:
    """Granian's logging: its lines go the way of all others."""
    ours = {"handlers": [], "propagate": True}
    return {"handlers": {}, "formatters": {}, "loggers": {"_granian": dict(ours), "granian.access": dict(ours)}}


def server_level(settings: Settings) -> LogLevels:
    """Its info lines are about processes that start and stop: useful when something goes wrong with them, not each time."""
    return LogLevels.info if settings.log_level == "debug" else LogLevels.warning


def _as_json(settings: Settings) -> bool:
    return settings.log_format == "json" or (settings.log_format == "auto" and not sys.stderr.isatty())


def _shared() -> list[Processor]:
    return [
        _of_request,
        structlog.processors.add_log_level,
        structlog.processors.TimeStamper(fmt="iso", utc=True),
    ]


def _rendered(as_json: bool, *, text: bool = False) -> list[Processor]:
    if not as_json:
        return [_sql_below, structlog.dev.ConsoleRenderer(colors=sys.stderr.isatty())]
    renderer = structlog.processors.JSONRenderer(serializer=_text if text else _bytes)
    return [structlog.processors.format_exc_info, renderer]


def _of_request(_: WrappedLogger, __: str, event: EventDict) -> EventDict:
    asked = request_id.get()
    if asked is not None:
        event.setdefault("request_id", asked.decode())
    return event


def _sql_below(_: WrappedLogger, __: str, event: EventDict) -> EventDict:
    """On a console a statement stands on lines of its own, as one would paste it."""
    sql = event.pop("sql", None)
    if sql is not None:
        event["event"] = f"{event['event']}\n{sql}\n"
    return event


def _named(_: WrappedLogger, __: str, event: EventDict) -> EventDict:
    record = event.get("_record")
    if record is not None:
        event["logger"] = record.name
    return event


def _bytes(value: Any, **_: Any) -> bytes:
    return orjson.dumps(value, default=str)


def _text(value: Any, **_: Any) -> str:
    return orjson.dumps(value, default=str).decode()

"""Spans for parse, plan and SQL when an exporter is set; nothing at all otherwise."""

from __future__ import annotations

from contextlib import AbstractContextManager, nullcontext
from typing import Any

from opentelemetry import trace

_tracer: trace.Tracer | None = None
_own: Any = None
"""The provider that we made, to be shut down."""

_NOTHING: AbstractContextManager[Any] = nullcontext()


def set_up(endpoint: str | None, provider: trace.TracerProvider | None = None) -> None:
    """Starts tracing to an OTLP/HTTP address, or to a given provider."""
    global _tracer, _own
    if provider is None and endpoint is not None:
        provider = _own = _exporting(endpoint)
    _tracer = provider.get_tracer("crmgql") if provider is not None else None


def shut_down() -> None:
    """Sends what is still waiting; blocks while it does."""
    global _own
    set_up(None)
    if _own is not None:
        _own.shutdown()
        _own = None


def _exporting(endpoint: str) -> Any:
    """The exporter's libraries are imported only where they are wanted; they take a quarter of a second."""
    from opentelemetry.exporter.otlp.proto.http.trace_exporter import OTLPSpanExporter
    from opentelemetry.sdk.resources import Resource
    from opentelemetry.sdk.trace import TracerProvider
    from opentelemetry.sdk.trace.export import BatchSpanProcessor

    provider = TracerProvider(resource=Resource.create({"service.name": "crmgql"}))
    provider.add_span_processor(BatchSpanProcessor(OTLPSpanExporter(endpoint=endpoint)))
    return provider


def span(name: str) -> AbstractContextManager[Any]:
    return _NOTHING if _tracer is None else _tracer.start_as_current_span(name)


def note_sql(current: Any, sql: str) -> None:
    if current is not None:
        current.set_attribute("db.system.name", "postgresql")
        current.set_attribute("db.query.text", sql)

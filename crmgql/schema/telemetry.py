"""Spans for parse, plan and SQL when an exporter is set; nothing at all otherwise."""

from __future__ import annotations

from contextlib import AbstractContextManager, nullcontext
from typing import Any

from opentelemetry import trace
from opentelemetry.exporter.otlp.proto.http.trace_exporter import OTLPSpanExporter
from opentelemetry.sdk.resources import Resource
from opentelemetry.sdk.trace import TracerProvider
from opentelemetry.sdk.trace.export import BatchSpanProcessor

_tracer: trace.Tracer | None = None
_NOTHING: AbstractContextManager[Any] = nullcontext()


def set_up(endpoint: str | None, provider: TracerProvider | None = None) -> None:
    """Starts tracing to an OTLP/HTTP address, or to a given provider."""
    global _tracer
    if provider is None and endpoint is not None:
        provider = TracerProvider(resource=Resource.create({"service.name": "crmgql"}))
        provider.add_span_processor(BatchSpanProcessor(OTLPSpanExporter(endpoint=endpoint)))
    _tracer = provider.get_tracer("crmgql") if provider is not None else None


def span(name: str) -> AbstractContextManager[Any]:
    return _NOTHING if _tracer is None else _tracer.start_as_current_span(name)


def note_sql(current: Any, sql: str) -> None:
    if current is not None:
        current.set_attribute("db.system.name", "postgresql")
        current.set_attribute("db.query.text", sql)

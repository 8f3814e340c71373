"""Spans for parse, plan and SQL when an exporter is set, and nothing at all otherwise; numbers as Prometheus's families."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from contextlib import AbstractContextManager, nullcontext
from typing import Any

from opentelemetry import trace
from prometheus_client.core import GaugeMetricFamily

_tracer: trace.Tracer | None = None
_own: Any = None
"""The provider that we made, to be shut down."""

_NOTHING: AbstractContextManager[Any] = nullcontext()


def set_up(endpoint: str | None, provider: trace.TracerProvider | None = None) -> None:
    """Starts tracing to an OTLP/HTTP address, or to a provider of the caller's."""
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


def gauges(numbers: Iterable[tuple[str, str, Mapping[str, str], float]]) -> list[GaugeMetricFamily]:
    """One family per name, of (name, help, labels, value)."""
    found: dict[str, GaugeMetricFamily] = {}
    for name, words, labels, value in numbers:
        family = found.setdefault(name, GaugeMetricFamily(name, words, labels=tuple(labels)))
        family.add_metric(tuple(labels.values()), value)
    return list(found.values())

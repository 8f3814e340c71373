"""Spans appear when somebody listens, and cost nothing otherwise."""

from __future__ import annotations

import uuid

from opentelemetry.sdk.trace import TracerProvider
from opentelemetry.sdk.trace.export import SimpleSpanProcessor
from opentelemetry.sdk.trace.export.in_memory_span_exporter import InMemorySpanExporter

from crmgql import telemetry
from crmgql.engine.operations import Engine, Request
from tests.conftest import viewer


async def test_parse_plan_and_sql_are_spans(engine: Engine) -> None:
    exporter = InMemorySpanExporter()
    provider = TracerProvider()
    provider.add_span_processor(SimpleSpanProcessor(exporter))
    telemetry.set_up(None, provider)
    try:
        await engine.answer(Request("{ customers { nodes { name } } }"), viewer(uuid.uuid4(), "ADMIN"))
    finally:
        telemetry.set_up(None)
    spans = {span.name: span for span in exporter.get_finished_spans()}
    assert set(spans) == {"graphql.parse", "graphql.plan", "graphql.sql"}
    assert spans["graphql.sql"].attributes["db.query.text"].startswith("WITH")
    await engine.answer(Request("{ customers { nodes { name } } }"), viewer(uuid.uuid4(), "ADMIN"))
    assert len(exporter.get_finished_spans()) == 3

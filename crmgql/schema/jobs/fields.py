"""The kinds of jobs that there are."""

from __future__ import annotations

from typing import Any

from crmgql.domain.jobs import kinds
from crmgql.engine import scalars
from crmgql.engine.computed import Ask, computed
from crmgql.engine.strawberries import Field, lazy, list_of, object_type

object_type(
    "JobKind",
    [
        Field("name", str, "What jobEnqueue and scheduleCreate take as kind."),
        Field("doc", str, "What such a job does."),
        Field("queue", str, "The queue it waits in; each has workers' slots of its own."),
        Field("arguments", scalars.BY_NAME["JSON"], "The JSON schema of its arguments."),
        Field(
            "writes",
            list[str],
            "The types of records that it changes: enqueuing it takes the permission to change each of them.",
        ),
        Field("maxFailures", int, "After this number of failures it is DEAD."),
        Field("timeoutS", int, "Seconds that one attempt may take."),
        Field("manual", bool, "Whether it may be enqueued and scheduled by hand."),
    ],
    "A kind of background job.",
)


@computed("jobKinds", list_of(lazy("JobKind")))
async def job_kinds(ask: Ask) -> Any:
    """The kinds of jobs, with the schemas of their arguments."""
    return [
        {
            "name": kind.name,
            "doc": kind.doc,
            "queue": kind.queue,
            "arguments": kind.arguments.model_json_schema(),
            "writes": list(kind.writes),
            "maxFailures": kind.max_failures,
            "timeoutS": kind.timeout_s,
            "manual": kind.manual,
        }
        for kind in kinds.KINDS.values()
    ]

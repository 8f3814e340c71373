"""Cases of jobs and schedules."""

from __future__ import annotations

from datetime import timedelta
from typing import Any
from uuid import uuid4

from tests.schema.cases import ADMIN, case, move
from tests.schema.world import NOW, World, id_of, uuid_of


async def job(world: World, status: str = "PENDING", **values: Any) -> str:
    """A job of a built-in kind, in some status."""
    over = status in ("DONE", "DEAD", "CANCELLED", "DROPPED")
    lease = {"lease_by": uuid4(), "lease_until": NOW + timedelta(seconds=30)} if status == "RUNNING" else {}
    row = {
        "kind": "housekeeping",
        "queue": "default",
        "due_at": NOW,
        "attempts": 1,
        "max_failures": 5,
        "status": status,
    }
    return id_of("Job", await world.insert("jobs", **{**row, "finished_at": NOW if over else None, **lease, **values}))


async def schedule(world: World, **values: Any) -> str:
    """One that runs each hour."""
    row = {"name": f"Nightly {uuid4()}", "kind": "housekeeping", "every_s": 3600, "next_at": NOW, **values}
    return id_of("Schedule", await world.insert("schedules", **row))


async def status_of(world: World, id: str) -> str:
    return await world.database.fetchval("SELECT status FROM jobs WHERE id = $1", uuid_of(id))  # type: ignore[no-any-return]


@case("jobEnqueue", ADMIN)
async def job_enqueue(world: World, role: str) -> dict[str, Any]:
    return {"kind": "leads.route", "arguments": {"batch_size": 10}, "priority": 1}


@case("scheduleCreate", ADMIN)
async def schedule_create(world: World, role: str) -> dict[str, Any]:
    return {"name": f"Nightly {uuid4()}", "kind": "housekeeping", "cron": "30 2 * * *", "timezone": "Europe/Berlin"}


move("jobCancel", ADMIN, job)
move("jobRetry", ADMIN, lambda world: job(world, "DEAD"))
move("jobDrop", ADMIN, lambda world: job(world, "DEAD"))
move("scheduleUpdate", ADMIN, schedule, cron="0 3 * * *")
move("scheduleDelete", ADMIN, schedule)

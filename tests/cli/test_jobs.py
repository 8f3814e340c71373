"""`crmgql jobs …` as an operator types it."""

from __future__ import annotations

import asyncio
import re

import pytest
from rich.console import Console
from typer.testing import CliRunner

from crmgql import config
from crmgql.cli import jobs
from crmgql.errors import CrmError


@pytest.fixture
def run(database_url, monkeypatch):
    """Runs a command in a thread, as it has an event loop of its own; answers its exit code and what it said."""
    monkeypatch.setattr(config, "checked", lambda: config.Settings(database_url=database_url))

    async def typed(*words: str) -> tuple[int, str]:
        with monkeypatch.context() as patched:
            said = Console(width=200, record=True)
            patched.setattr(jobs, "console", said)
            result = await asyncio.to_thread(CliRunner().invoke, jobs.app, list(words))
            error = result.exception.message if isinstance(result.exception, CrmError) else ""
            return result.exit_code, said.export_text() + error

    return typed


async def test_a_job_is_asked_for_seen_cancelled_retried_dropped(run, database) -> None:
    assert "batch_size" in (await run("kinds"))[1]
    code, said = await run("enqueue", "leads.route", "--arguments", '{"batch_size": 10}')
    assert code == 0
    id = re.search(r"job_[0-9a-f]{32}", said)[0]
    assert await database.fetchval("SELECT arguments->>'batch_size' FROM jobs") == "10"
    assert id in (await run("list", "--status", "pending"))[1]
    assert id not in (await run("list", "--status", "dead"))[1]
    assert (await run("cancel", id))[0] == 0
    code, said = await run("cancel", id)
    assert code == 1
    assert "CANCELLED" in said
    assert (await run("watch", id))[0] == 1
    assert (await run("retry", id))[0] == 0
    assert await database.fetchval("SELECT status FROM jobs") == "PENDING"
    await database.execute(
        "UPDATE jobs SET status = 'DEAD', finished_at = now(), error_code = 'X', error_message = 'oh'"
    )
    assert "oh" in (await run("list", "--status", "dead"))[1]
    assert (await run("drop", id))[0] == 0


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (("enqueue", "no.such"), "no such kind of job"),
        (("enqueue", "leads.route", "--arguments", "[]"), "is a JSON object"),
        (("enqueue", "leads.route", "--arguments", '{"batch_size": 0}'), "greater than or equal to 1"),
        (("enqueue", "leads.route", "--arguments", '{"colour": "red"}'), "not permitted"),
        (("enqueue", "lead.followUp"), "made by the system only"),
        (("cancel", "job_x"), "is no job's id"),
        (("cancel", "job_" + "0" * 32), "no such job"),
        (("schedules", "create", "x", "housekeeping"), "exactly one of"),
        (("schedules", "create", "x", "housekeeping", "--cron", "* *"), "cron expression"),
        (("schedules", "create", "x", "housekeeping", "--every", "5", "--timezone", "Nowhere"), "time zone"),
        (("schedules", "create", "x", "housekeeping", "--every", "5", "--catch-up", "NEVER"), "SKIP, ONE, ALL, not"),
        (("list", "--status", "ended"), "one of PENDING, RUNNING, WAITING, DONE, DEAD, CANCELLED, DROPPED"),
        (("list", "--kind", "lead.root"), "lead.route"),
        (("schedules", "delete", "x"), "no schedule called"),
    ],
)
async def test_a_mistake_is_told_and_changes_nothing(run, database, words, said) -> None:
    code, told = await run(*words)
    assert code == 1
    assert said in told
    assert await database.fetchval("SELECT count(*) FROM jobs") == 0


async def test_schedules_are_made_listed_deleted(run) -> None:
    made = ("schedules", "create", "Nightly", "housekeeping", "--cron", "30 2 * * *", "--timezone", "Europe/Berlin")
    assert (await run(*made))[0] == 0
    assert "30 2 * * * (Europe/Berlin)" in (await run("schedules", "list"))[1]
    assert (await run("schedules", "create", "Nightly", "housekeeping", "--every", "60"))[0] == 1
    assert (await run("schedules", "delete", "Nightly"))[0] == 0
    assert "Nightly" not in (await run("schedules", "list"))[1]

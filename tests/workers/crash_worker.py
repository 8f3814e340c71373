"""A worker process with kinds of its own, for the crash test: `python -m tests.workers.crash_worker short|default HOLDER JOURNAL`.

`short`: leases of 3 seconds, so that the test does not wait for half minutes. HOLDER is the id that it has in its leases. In the
file JOURNAL it writes a line `began N` when the transaction of a mark is open, and `lost` when it had to drop an attempt, because
another worker has the job.
"""

from __future__ import annotations

import asyncio
import sys
from datetime import timedelta
from pathlib import Path
from uuid import UUID

from pydantic import Field

from crmgql import config, logs
from crmgql.domain.jobs import kinds, leases
from crmgql.records.records import Act
from crmgql.workers import attempts, claims, metrics, runner, upkeep
from crmgql.workers.handlers import Result, Run, handler, long_handler


class Mark(kinds.Arguments):
    number: int
    slow_ms: int = Field(0, ge=0, le=2000)


MARK = kinds.declare(kinds.Kind("test.mark", Mark, "default", "Writes a row.", ("Job",), max_failures=50))
WALK = kinds.declare(
    kinds.Kind("test.walk", Mark, "bulk", "Writes five rows in five steps.", ("Job",), max_failures=50)
)
FAIL = kinds.declare(kinds.Kind("test.fail", Mark, "default", "Writes a row and fails.", ("Job",), max_failures=2))
WRITE = "INSERT INTO marks (number, step) VALUES ($1, $2)"


@handler(MARK)
async def mark(act: Act, arguments: Mark) -> Result:
    await act.tx.connection.execute(WRITE, arguments.number, 0)
    write_down(f"began {arguments.number}")
    await asyncio.sleep(arguments.slow_ms / 1000)
    return {"number": arguments.number}


@long_handler(WALK)
async def walk(run: Run, arguments: Mark) -> Result:
    for step in range(run.done, 5):
        async with run.step() as act:
            await act.tx.connection.execute(WRITE, arguments.number, step)
            await asyncio.sleep(arguments.slow_ms / 1000)
            run.progress(done=step + 1, total=5)
    return {"steps": run.done}


@handler(FAIL)
async def fail(act: Act, arguments: Mark) -> Result:
    await act.tx.connection.execute(WRITE, arguments.number, 0)
    raise RuntimeError("as it should")


def main() -> None:
    pace, holder, _ = sys.argv[1:]
    if pace == "short":
        shorten_leases()
    attempts.uuid4 = lambda: UUID(holder)  # type: ignore[attr-defined]
    tell_of_lost_leases()
    settings = config.settings()
    logs.set_up(settings)
    runner.run(settings)


def write_down(line: str) -> None:
    with Path(sys.argv[3]).open("a") as journal:
        journal.write(f"{line}\n")


def tell_of_lost_leases() -> None:
    note = metrics.Tally.note

    def told(self: metrics.Tally, kind: str, outcome: str, seconds: float) -> None:
        if outcome == "lease lost":
            write_down("lost")
        note(self, kind, outcome, seconds)

    metrics.Tally.note = told  # type: ignore[method-assign]


def shorten_leases() -> None:
    leases.LEASE = timedelta(seconds=3)
    leases.FIRST_BACKOFF_S = 0.1
    claims.DOUBT_S = 3.0
    attempts.BEAT_S = 0.5
    upkeep.LOOK_S = 0.2


if __name__ == "__main__":
    main()

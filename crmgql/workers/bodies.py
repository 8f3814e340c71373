"""The words in which a job's body is declared, and the one way in which bodies are run.

    @task(kinds.LEAD_ROUTE)
    async def lead_route(act: Act, arguments: kinds.LeadOf) -> Result:
        return await assign.route(act, lead_id=arguments.lead_id)

Such a body runs in one transaction, which also writes the job's end. With `writes=False` it gets none, and its end shares a
commit with others. A long one works in steps:

    @long_task(kinds.LEADS_ROUTE)
    async def leads_route(run: Run, arguments: kinds.RouteMany) -> Result:
        while True:
            async with run.step() as act:
                moved = await bulk.route_batch(act, limit=arguments.batch_size)
                run.progress(done=run.done + moved)
            if not moved:
                return {"routed": run.done}

Each step is a transaction that also writes checkpoint and progress; a new attempt goes on from there. Its end shares a commit
too. A body may run any number of times; what its transactions do is done once.
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any, NoReturn

from crmgql.config import Settings
from crmgql.db import WITHOUT_DAYS, Database, Transaction
from crmgql.domain.jobs import leases
from crmgql.domain.jobs.kinds import A, Kind
from crmgql.domain.jobs.leases import Lease, Result
from crmgql.records.records import Act
from crmgql.viewer import Clock, system
from crmgql.workers.ends import Ends

__all__ = ["TASKS", "Result", "Run", "Task", "long_task", "task"]

Body = Callable[[Act, A], Awaitable[Result]]
LongBody = Callable[["Run", A], Awaitable[Result]]


@dataclass
class Run:
    """One attempt at a long job: how far it is, and the transactions in which it gets further."""

    database: Database
    settings: Settings
    clock: Clock
    lease: Lease
    ends: Ends
    checkpoint: dict[str, Any] = field(init=False)
    done: int = field(init=False)
    total: int | None = field(init=False)
    message: str | None = None

    def __post_init__(self) -> None:
        self.checkpoint = dict(self.lease.checkpoint)
        self.done, self.total = self.lease.done, self.lease.total

    @property
    def now(self) -> datetime:
        return self.clock()

    def progress(self, *, done: int | None = None, total: int | None = None, message: str | None = None) -> None:
        """What the next commit tells those who watch; what is not given stays as it was."""
        self.done = self.done if done is None else done
        self.total = self.total if total is None else total
        self.message = self.message if message is None else message

    @asynccontextmanager
    async def step(self) -> AsyncIterator[Act]:
        """A transaction. Raises `LeaseLost` at its end, and undoes it, when the job is no longer ours."""
        async with self.database.transaction() as tx:
            yield Act(tx, system(self.clock))
            await leases.keep(
                tx.connection,
                self.lease,
                now=self.now,
                checkpoint=self.checkpoint,
                done=self.done,
                total=self.total,
                message=self.message,
            )


class _Nothing:
    """In place of a connection, for bodies that write nothing."""

    def __getattr__(self, name: str) -> NoReturn:
        raise RuntimeError("This kind of job is declared to write nothing: it has no transaction.")


@dataclass(frozen=True)
class Task:
    """A kind with its body. `writes`: whether a body gets a transaction."""

    kind: Kind[Any]
    body: Body[Any] | None = None
    long_body: LongBody[Any] | None = None
    writes: bool = True

    async def perform(self, run: Run) -> None:
        """The body, and the job's end with it. Raises what the body raises, and `LeaseLost`."""
        arguments = self.kind.read(run.lease.arguments, run.lease.arguments_version)
        if self.long_body is not None:
            await run.ends.done(run.lease, await self.long_body(run, arguments))
            return
        assert self.body is not None
        if not self.writes:
            act = Act(Transaction(_Nothing(), WITHOUT_DAYS), system(run.clock))
            await run.ends.done(run.lease, await self.body(act, arguments))
            return
        async with run.database.transaction() as tx:
            result = await self.body(Act(tx, system(run.clock)), arguments)
            await leases.done(tx.connection, run.lease, now=run.now, result=result)


TASKS: dict[str, Task] = {}


def task(kind: Kind[A], *, writes: bool = True) -> Callable[[Body[A]], Body[A]]:
    """Declares the body of a kind that is done in one transaction, or, with `writes` off, in none."""

    def declared(body: Body[A]) -> Body[A]:
        TASKS[kind.name] = Task(kind, body=body, writes=writes)
        return body

    return declared


def long_task(kind: Kind[A]) -> Callable[[LongBody[A]], LongBody[A]]:
    """Declares the body of a kind that works in steps."""

    def declared(body: LongBody[A]) -> LongBody[A]:
        TASKS[kind.name] = Task(kind, long_body=body)
        return body

    return declared

"""How the handler of a kind of job is declared, and how handlers run.

    @handler(kinds.LEAD_ROUTE)
    async def lead_route(act: Act, arguments: kinds.LeadOf) -> Result:
        return await assign.route(act, lead_id=arguments.lead_id)

Such a handler runs in one transaction, which also writes the job's end. With `writes=False` it gets no transaction, and its
end shares a commit with others. A long handler works in steps:

    @long_handler(kinds.LEADS_ROUTE)
    async def leads_route(run: Run, arguments: kinds.RouteMany) -> Result:
        while True:
            async with run.step() as act:
                moved = await bulk.route_batch(act, limit=arguments.batch_size)
                run.progress(done=run.done + moved)
            if not moved:
                return {"routed": run.done}

Each step is a transaction that also writes checkpoint and progress; a new attempt continues from there. Its end shares a
commit with others too. A handler may run any number of times; what its transactions do happens once.
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

__all__ = ["HANDLERS", "Handler", "Result", "Run", "handler", "long_handler"]

Short = Callable[[Act, A], Awaitable[Result]]
Long = Callable[["Run", A], Awaitable[Result]]


@dataclass
class Run:
    """One attempt at a job: its checkpoint and progress, and the transactions that write them."""

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
        """Sets the progress that the next step commits; what is None stays as it was."""
        self.done = self.done if done is None else done
        self.total = self.total if total is None else total
        self.message = self.message if message is None else message

    @asynccontextmanager
    async def step(self, *, despite_cancel: bool = False) -> AsyncIterator[Act]:
        """A transaction. Rolls back and raises `LeaseLost` at its end when this attempt no longer holds the job.

        It rolls back too when the job was asked to stop, unless `despite_cancel`: for what can't be undone any more.
        """
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
                despite_cancel=despite_cancel,
            )


class _Nothing:
    """In place of a connection, for handlers that write nothing."""

    def __getattr__(self, name: str) -> NoReturn:
        raise RuntimeError("This kind of job is declared to write nothing: it has no transaction.")


@dataclass(frozen=True)
class Handler:
    """A kind with the function that does it. `writes`: whether a short function gets a transaction."""

    kind: Kind[Any]
    short: Short[Any] | None = None
    long: Long[Any] | None = None
    writes: bool = True

    async def perform(self, run: Run) -> None:
        """Calls the function and ends the job. Raises what the function raises, and `LeaseLost`."""
        arguments = self.kind.read(run.lease.arguments, run.lease.arguments_version)
        if self.long is not None:
            await run.ends.done(run.lease, await self.long(run, arguments))
            return
        assert self.short is not None
        if not self.writes:
            act = Act(Transaction(_Nothing(), WITHOUT_DAYS), system(run.clock))
            await run.ends.done(run.lease, await self.short(act, arguments))
            return
        async with run.database.transaction() as tx:
            result = await self.short(Act(tx, system(run.clock)), arguments)
            await leases.done(tx.connection, run.lease, now=run.now, result=result)


HANDLERS: dict[str, Handler] = {}


def handler(kind: Kind[A], *, writes: bool = True) -> Callable[[Short[A]], Short[A]]:
    """Declares the handler of a kind that runs in one transaction, or, with `writes` off, in none."""

    def declared(function: Short[A]) -> Short[A]:
        HANDLERS[kind.name] = Handler(kind, short=function, writes=writes)
        return function

    return declared


def long_handler(kind: Kind[A]) -> Callable[[Long[A]], Long[A]]:
    """Declares the handler of a kind that works in steps."""

    def declared(function: Long[A]) -> Long[A]:
        HANDLERS[kind.name] = Handler(kind, long=function)
        return function

    return declared

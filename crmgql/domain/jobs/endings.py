"""What becomes of what a job was for when the job dies, and when it is tried again: each kind's own, registered by its chapter.

Always holds: it is done in the transaction that ends or retries the job.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from typing import Any

from crmgql.domain.jobs import kinds
from crmgql.domain.jobs.kinds import Kind
from crmgql.errors import CrmError
from crmgql.records.records import Act

Died = Callable[[Act, Any, str], Awaitable[None]]
"""Takes the job's arguments and why it failed for good."""

Retried = Callable[[Act, Any], Awaitable[None]]

_died: dict[str, Died] = {}
_retried: dict[str, Retried] = {}


def when_dead(kind: Kind[Any]) -> Callable[[Died], Died]:
    """Registers what is done when a job of the kind becomes a dead letter."""

    def registered(ending: Died) -> Died:
        _died[kind.name] = ending
        return ending

    return registered


def when_retried(kind: Kind[Any]) -> Callable[[Retried], Retried]:
    """Registers what is done when a dead job of the kind is tried again."""

    def registered(beginning: Retried) -> Retried:
        _retried[kind.name] = beginning
        return beginning

    return registered


async def died(act: Act, kind: str, arguments: dict[str, Any], version: int, reason: str) -> None:
    if kind in _died and (known := _read(kind, arguments, version)) is not None:
        await _died[kind](act, known, reason)


async def retried(act: Act, kind: str, arguments: dict[str, Any], version: int) -> None:
    if kind in _retried and (known := _read(kind, arguments, version)) is not None:
        await _retried[kind](act, known)


def _read(kind: str, arguments: dict[str, Any], version: int) -> Any:
    """None for arguments that nobody understands any more: what they were about can't be found."""
    try:
        return kinds.find(kind).read(arguments, version)
    except CrmError:
        return None

"""Hooks of a kind of job: what else changes when a job dies, is cancelled or is retried, such as the status of its e-mail.

A chapter registers them for its kinds. Always holds: a hook runs in the transaction that ends or retries the job.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from typing import Any

import structlog

from crmgql.domain.jobs import kinds
from crmgql.domain.jobs.kinds import Kind
from crmgql.records.records import Act

log = structlog.get_logger("crmgql")

Died = Callable[[Act, Any, str], Awaitable[None]]
"""Takes the job's arguments and the reason of its failure."""

Changed = Callable[[Act, Any], Awaitable[None]]
"""Takes the job's arguments."""

_died: dict[str, Died] = {}
_cancelled: dict[str, Changed] = {}
_retried: dict[str, Changed] = {}


def when_dead(kind: Kind[Any]) -> Callable[[Died], Died]:
    """Registers a hook for jobs of the kind that become dead letters."""

    def registered(hook: Died) -> Died:
        _died[kind.name] = hook
        return hook

    return registered


def when_cancelled(kind: Kind[Any]) -> Callable[[Changed], Changed]:
    """Registers a hook for jobs of the kind that end cancelled."""
    return _registering(_cancelled, kind)


def when_retried(kind: Kind[Any]) -> Callable[[Changed], Changed]:
    """Registers a hook for dead or cancelled jobs of the kind that are retried."""
    return _registering(_retried, kind)


def _registering(hooks: dict[str, Changed], kind: Kind[Any]) -> Callable[[Changed], Changed]:
    def registered(hook: Changed) -> Changed:
        hooks[kind.name] = hook
        return hook

    return registered


async def died(act: Act, kind: str, arguments: dict[str, Any], version: int, reason: str) -> None:
    if kind in _died and (known := _read(kind, arguments, version)) is not None:
        await _died[kind](act, known, reason)


async def cancelled(act: Act, kind: str, arguments: dict[str, Any], version: int) -> None:
    if kind in _cancelled and (known := _read(kind, arguments, version)) is not None:
        await _cancelled[kind](act, known)


async def retried(act: Act, kind: str, arguments: dict[str, Any], version: int) -> None:
    if kind in _retried and (known := _read(kind, arguments, version)) is not None:
        await _retried[kind](act, known)


def _read(kind: str, arguments: dict[str, Any], version: int) -> Any:
    """None for arguments that can't be read any more: the record that they name can't be found.

    An `upgrade` may raise anything. The job must end all the same: an error here would roll back the sweep, which expires
    many leases in one transaction, each time.
    """
    try:
        return kinds.find(kind).read(arguments, version)
    except Exception as error:
        log.warning("arguments not read", kind=kind, version=version, reason=repr(error))
        return None

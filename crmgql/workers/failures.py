"""Logs a failure as an error with its traceback the first time, then with a count, once a minute."""

from __future__ import annotations

import time
import traceback
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import structlog

from crmgql.errors import DATABASES_OWN

log = structlog.get_logger("crmgql")

EVERY_S = 60.0
QUIET_S = 3600.0
"""A failure that has not occurred for so long counts as new."""

MOST = 1000


@dataclass
class Repeated:
    count: int
    first: float
    last: float
    logged: float


class Failures:
    """The failures of one process, counted by kind."""

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        self._clock = clock
        self._known: dict[tuple[str, str], Repeated] = {}

    def note(self, what: str, error: BaseException, **fields: Any) -> None:
        """Logs the failure unless it was logged within a minute. Database trouble is a warning without traceback: `db` logs it too."""
        now, key = self._clock(), (what, _place(error))
        seen = self._known.get(key)
        if seen is None or now - seen.last > QUIET_S:
            self._remember(key, now)
            if isinstance(error, DATABASES_OWN):
                log.warning(what, reason=str(error), **fields)
            else:
                log.error(what, exc_info=error, **fields)
            return
        seen.count += 1
        seen.last = now
        if now - seen.logged >= EVERY_S:
            seen.logged = now
            again = log.warning if isinstance(error, DATABASES_OWN) else log.error
            again(f"{what}, again", reason=repr(error), times=seen.count, in_s=round(now - seen.first), **fields)

    def _remember(self, key: tuple[str, str], now: float) -> None:
        if len(self._known) >= MOST:
            self._known.clear()
        self._known[key] = Repeated(1, now, now, now)


def _place(error: BaseException) -> str:
    """The error's type and where it was raised. Its text may contain an id, so it does not count."""
    frames = traceback.extract_tb(error.__traceback__, limit=-1)
    where = f"{frames[-1].filename}:{frames[-1].lineno}" if frames else ""
    return f"{type(error).__qualname__} {where}"

"""A failure that repeats is logged as an error with its traceback once, then with a count, once a minute."""

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
"""What has not failed for so long is a new failure when it does."""

MOST = 1000


@dataclass
class Repeated:
    count: int
    first: float
    last: float
    told: float


class Failures:
    """Those of one process: of each kind of failure, how often it came."""

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        self._clock = clock
        self._known: dict[tuple[str, str], Repeated] = {}

    def note(self, what: str, error: BaseException, **fields: Any) -> None:
        """Logs it, if it is time to. The database's own troubles have a line already: they are a warning without traceback."""
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
        if now - seen.told >= EVERY_S:
            seen.told = now
            again = log.warning if isinstance(error, DATABASES_OWN) else log.error
            again(f"{what}, again", reason=repr(error), times=seen.count, in_s=round(now - seen.first), **fields)

    def _remember(self, key: tuple[str, str], now: float) -> None:
        if len(self._known) >= MOST:
            self._known.clear()
        self._known[key] = Repeated(1, now, now, now)


def _place(error: BaseException) -> str:
    """The kind of error and where it was raised: its text may have an id in it."""
    frames = traceback.extract_tb(error.__traceback__, limit=-1)
    where = f"{frames[-1].filename}:{frames[-1].lineno}" if frames else ""
    return f"{type(error).__qualname__} {where}"

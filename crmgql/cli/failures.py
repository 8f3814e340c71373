"""What an operator can mend, as one line instead of a traceback."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from contextlib import contextmanager

import asyncpg
from redis.exceptions import RedisError
from rich.console import Console

from crmgql.errors import CrmError

console = Console(stderr=True)


@contextmanager
def told(*, code: int = 1) -> Iterator[None]:
    """Says what went wrong inside, and ends the process with this code."""
    try:
        yield
    except (CrmError, asyncpg.PostgresError, asyncpg.InterfaceError, RedisError, OSError) as error:
        console.print(f"crmgql: {_words(error)}", style="red", highlight=False, markup=False, soft_wrap=True)
        sys.exit(code)


def _words(error: Exception) -> str:
    first = str(error).partition("\n")[0]
    match error:
        case CrmError():
            return error.message
        case asyncpg.UndefinedTableError() | asyncpg.UndefinedColumnError():
            return "The database is empty or of an older version: run “crmgql migrate”."
        case asyncpg.PostgresError() | asyncpg.InterfaceError():
            return f"PostgreSQL: {first}"
        case RedisError():
            return f"Valkey: {first}"
        case _:
            return str(error)

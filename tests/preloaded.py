"""What `tests.processes` has in memory before it forks: crmgql's programs, and the schema."""

from __future__ import annotations

import asyncio

from crmgql import serve  # noqa: F401 - imported for the processes that are forked
from crmgql.cli import commands  # noqa: F401
from crmgql.schema import build
from crmgql.workers import runner  # noqa: F401

asyncio.run(build.prepare())

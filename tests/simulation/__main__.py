"""Plays seeds, one after another, until one breaks a rule or the time is over: `make simulate SEED=7 STEPS=200 MINUTES=60`."""

from __future__ import annotations

import argparse
import asyncio
import logging
import sys
import tempfile
import time
from collections import Counter
from pathlib import Path

import asyncpg
import structlog

from crmgql import db, migrate
from crmgql.config import Settings
from crmgql.dev import embedded
from crmgql.schema import build
from tests import rates
from tests.domain import work
from tests.simulation import seeds
from tests.simulation.seeds import ENOUGH


def main() -> int:
    parser = argparse.ArgumentParser(prog="make simulate", description=__doc__)
    parser.add_argument("--seed", type=int, help="play this one only; without it, one after another from --first on")
    parser.add_argument("--first", type=int, default=0)
    parser.add_argument("--steps", type=int, default=100, help="of each seed")
    parser.add_argument("--minutes", type=float, default=1.0, help="begin no further seed after so long")
    options = parser.parse_args()
    structlog.configure(wrapper_class=structlog.make_filtering_bound_logger(logging.ERROR))  # each cut would be told
    with tempfile.TemporaryDirectory() as folder, embedded.start(Path(folder), throwaway=True) as servers:
        return asyncio.run(play(servers.database_url, options))


async def play(url: str, options: argparse.Namespace) -> int:
    await migrate.migrate(url)
    database = await asyncpg.connect(url)
    await rates.sow(database)
    admin = await work.user(database, roles=["ADMIN"])
    crm = await db.connect(url, pool_size=ENOUGH)
    engine = build.engine(crm, Settings(log_level="error", pool_size=ENOUGH))
    until, seed = time.monotonic() + options.minutes * 60, options.first if options.seed is None else options.seed
    codes: Counter[str] = Counter()
    done: Counter[str] = Counter()
    try:
        while True:
            history = await seeds.run(engine, database, admin, seed, steps=options.steps)
            codes += history.codes
            done += Counter(mutation for mutation, codes in history.outcomes if codes == ("DONE",))
            print(f"seed {seed}: {history.cuts} cuts, {dict(history.codes.most_common(4))}", flush=True)
            if options.seed is not None or time.monotonic() > until:
                print(f"whole: {dict(codes.most_common())}\ndone: {dict(done.most_common())}")
                return 0
            seed += 1
    except seeds.Broken as broken:
        print(broken, file=sys.stderr)
        print(f"again: make simulate SEED={seed} STEPS={options.steps}", file=sys.stderr)
        return 1
    finally:
        await database.close()
        await crm.close()


if __name__ == "__main__":
    sys.exit(main())

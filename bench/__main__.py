"""`python -m bench`: the 360 side by side. `growth`: the same at 1 and at 100 times the data. `planning`: without a
database, how long a plan takes. `jobs`: jobs per second. `routing`: leads per second to sellers by weight. `stale`: the stale
sweep. `doors`: how long others wait under attacks. `idle`: what an installation costs while nothing happens.
`imports`: rows per second from files. `ledger`: orders and payments with their postings, beside the bare statements. `hooks`: a burst of posts of a
payment provider, and how they are booked. `verify`: entries of the
books per second. `revenue`: reports over orders, `ageing`: what customers owe, both beside a plain GROUP BY. `feed`: subscribers, webhooks, polls, and what writers pay for them."""

from __future__ import annotations

import argparse
import sys
from pathlib import Path

from rich.console import Console

from bench import (
    ageing,
    comparison,
    data,
    doors,
    growth,
    hooks,
    idle,
    imports,
    jobs,
    ledger,
    planning,
    revenue,
    routing,
    servers,
    stale,
    verify,
)
from bench.feed import parts


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m bench", description=__doc__)
    parser.add_argument(
        "what",
        nargs="?",
        choices=(
            "360",
            "growth",
            "planning",
            "jobs",
            "routing",
            "stale",
            "doors",
            "idle",
            "imports",
            "feed",
            "hooks",
            "ledger",
            "verify",
            "revenue",
            "ageing",
        ),
        default="360",
    )
    parser.add_argument("--only", default=",".join(servers.PEERS), help="which servers, separated by commas")
    parser.add_argument(
        "--customers",
        type=int,
        help="customers to load (growth: in the large database; stale: open opportunities there)",
    )
    parser.add_argument("--leads", type=int, default=100_000, help="routing: leads to route")
    parser.add_argument("--orders", type=int, help="orders per customer")
    parser.add_argument("--rounds", type=int, default=9)
    parser.add_argument("--seconds", type=float, default=3.0, help="measured time of a round")
    parser.add_argument("--warmup", type=float, default=1.5, help="seconds before it")
    parser.add_argument(
        "--database-url", help="an empty or already loaded database; else an embedded server is started"
    )
    parser.add_argument("--redis-url", help="goes with --database-url")
    parser.add_argument("--reuse", type=Path, metavar="DIR", help="keep the loaded data here for the next run")
    parser.add_argument("--together", type=float, default=0.0, help="doors: seconds of all attacks at once, at the end")
    parser.add_argument(
        "--checkout",
        type=Path,
        help="doors: serve this checkout instead, such as one of before; imports: compare with it",
    )
    parser.add_argument("--parts", default=",".join(parts.PARTS), help="feed: which, separated by commas")
    parser.add_argument("--quick", action="store_true", help="feed: small numbers, to see that it works")
    options = parser.parse_args()
    console = Console(width=None if sys.stdout.isatty() else 110)
    names = options.only.split(",")
    if unknown := set(names) - servers.PEERS.keys():
        parser.error(f"unknown servers: {', '.join(sorted(unknown))}")
    if unknown := set(options.parts.split(",")) - parts.PARTS.keys():
        parser.error(f"unknown parts: {', '.join(sorted(unknown))}")
    if options.what == "feed":
        parts.run(options.parts.split(","), console, quick=options.quick)
        return
    if options.what == "planning":
        planning.run(console)
        return
    if options.what == "routing":
        routing.run(console, leads=options.leads)
        return
    if options.what == "doors":
        doors.run(
            console,
            rounds=min(options.rounds, 3),
            seconds=options.seconds,
            together_s=options.together,
            checkout=options.checkout,
        )
        return
    if options.what == "jobs":
        with data.servers(options.reuse, options.database_url, options.redis_url) as urls:
            jobs.run(urls, rounds=options.rounds, each=4000, console=console)
        return
    if options.what == "verify":
        with data.servers(None, options.database_url, options.redis_url) as urls:
            shape = {"customers": options.customers or 10_000, "orders": options.orders or 34}
            verify.run(urls, **shape, rounds=min(options.rounds, 5), console=console)
        return
    if options.what == "revenue":
        with data.servers(options.reuse, options.database_url, options.redis_url) as urls:
            shape = data.Shape(options.customers or 10_000, options.orders or 20)
            revenue.run(urls, shape, rounds=options.rounds, console=console)
        return
    if options.what == "ageing":
        with data.servers(options.reuse, options.database_url, options.redis_url) as urls:
            customers = options.customers or 10_000
            items = customers * (options.orders or 100)
            ageing.run(urls, customers=customers, items=items, rounds=options.rounds, console=console)
        return
    if options.what == "imports":
        with data.servers(None, options.database_url, options.redis_url) as urls:
            imports.run(urls, rounds=min(options.rounds, 5), checkout=options.checkout, console=console)
        return
    if options.what == "idle":
        with data.servers(options.reuse, options.database_url, options.redis_url) as urls:
            idle.run(urls, max(60.0, options.seconds), console)
        return
    if options.what == "ledger":
        with data.servers(None, options.database_url, options.redis_url) as urls:
            ledger.run(urls, rounds=options.rounds, console=console)
        return
    if options.what == "hooks":
        with data.servers(None, options.database_url, options.redis_url) as urls:
            hooks.run(urls, console)
        return
    if options.what == "stale":
        with data.servers(None, options.database_url, options.redis_url) as urls:
            stale.run(urls, options.customers or 1_000_000, rounds=options.rounds, console=console)
        return
    with data.servers(options.reuse, options.database_url, options.redis_url) as urls:
        times = {"rounds": options.rounds, "measured_s": options.seconds, "warmup_s": options.warmup}
        if options.what == "growth":
            large = data.Shape(options.customers or 1_000_000, options.orders or 5)
            growth.run(urls, large, console=console, **times)
        else:
            shape = data.Shape(options.customers or 10_000, options.orders or 20)
            data.prepare(urls.database_url, shape, console)
            comparison.run(urls, names, console=console, **times)


if __name__ == "__main__":
    main()

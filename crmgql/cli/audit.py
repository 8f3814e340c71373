"""`crmgql audit …`: whether the books are what was posted. Exit codes: 0 they are, 1 they are not, 2 it could not be found out."""

from __future__ import annotations

import asyncio
import json
import os
import re
from typing import Annotated, Any

import typer
from rich.console import Console

from crmgql import config
from crmgql.cli import failures
from crmgql.dev import machine
from crmgql.errors import SetupError
from crmgql.ledger import audits, sums

app = typer.Typer(
    help="The books: whether they are what was posted, and where not. docs/howto/audit.md says what it proves.",
    no_args_is_help=True,
    rich_markup_mode=None,
)
console = Console(stderr=True)
ANCHOR = re.compile(r"(\d+):([0-9a-f]{64})")


@app.callback()
def audit() -> None:
    """The books: whether they are what was posted, and where not. docs/howto/audit.md says what it proves."""


@app.command(name="verify")
def verify_command(
    as_of: Annotated[
        list[str] | None,
        typer.Option(
            metavar="NUMBER:HASH",
            help="An anchor that you kept elsewhere: what it covers must be as it was. Can be given several times.",
        ),
    ] = None,
    processes: Annotated[
        int, typer.Option(min=1, max=64, help="How many at once; each takes a core and a connection.")
    ] = os.cpu_count() or 1,
    as_json: Annotated[bool, typer.Option("--json", help="Print one JSON object instead of words.")] = False,
) -> None:
    """Check every entry, chain, balance, open item, audit row and anchor, as they are in one moment.

    Each entry is hashed again, from the text that was hashed when it was posted, and each chain is followed from its first entry to
    its last, and so is each audit row. Balances and open items are compared with the sums of their postings. Where something
    differs, a line says the owner, the lane and the number in the chain, the entry and what is wrong.

    It only reads, while everybody works. The exit code is 0 when all is as it was posted, 1 when it is not, and 2 when that
    could not be found out.

    Keep the last line: the newest anchor. With “--as-of” it proves later, to you and to others, that nothing before it was changed,
    not even by somebody who may change everything in the database.
    """
    with failures.told(code=2):
        kept = dict(map(_anchor, as_of or ()))
        with machine.embedded_unless_set(config.checked()) as url:
            verified = asyncio.run(_verify(url, processes, kept))
    if as_json:
        typer.echo(json.dumps(_facts(verified)))
    else:
        _tell(verified)
    raise SystemExit(0 if verified.is_whole else 1)


async def _verify(url: str, processes: int, kept: dict[int, str]) -> audits.Verified:
    with machine.progress(console) as bars:
        task = bars.add_task("Verifying entries", total=None)

        def show(done: int, total: int) -> None:
            bars.update(task, completed=done, total=total)

        return await audits.verify_all(url, processes=processes, progress=show, kept=kept)


def _anchor(text: str) -> tuple[int, str]:
    found = ANCHOR.fullmatch(text.strip().lower())
    if found is None:
        raise SetupError(f"--as-of takes a number and a hash, such as 12:0f3a… with 64 digits, not {text!r}.")
    return int(found[1]), found[2]


def _facts(verified: audits.Verified) -> dict[str, Any]:
    found, anchors = verified.found, verified.anchors
    return {
        "whole": verified.is_whole,
        "entries": found.entries,
        "postings": found.postings,
        "chains": found.lanes,
        "auditEntries": found.audited,
        "anchors": anchors.count,
        "lastAnchor": anchors.last,
        "broken": [
            {"owner": each.owner, "lane": each.lane, "seq": each.seq, "entry": each.entry, "what": each.what}
            for each in (*found.broken, *anchors.broken)
        ],
        "more": found.more,
    }


def _tell(verified: audits.Verified) -> None:
    found, anchors = verified.found, verified.anchors
    for each in (*found.broken, *anchors.broken):
        typer.echo(each)
    counts = (
        f"{found.entries:,} entries, {found.postings:,} postings, {found.lanes:,} chains, {anchors.count:,} anchors,"
        f" {found.audited:,} audit entries"
    )
    if verified.is_whole:
        typer.echo(f"The books are as they were posted: {counts}.")
    else:
        places = len(found.broken) + len(anchors.broken)
        more = f", and {found.more:,} more" if found.more else ""
        typer.echo(f"The books are not as they were posted, in {places:,} places{more}: {counts}.")
    if anchors.last is not None:
        typer.echo(f"Last anchor: {anchors.last}")


@app.command()
def rebuild(
    check: Annotated[bool, typer.Option("--check", help="Only compare; nothing is written.")] = False,
) -> None:
    """Derive balances and open items anew from all postings, and compare them with what is kept.

    With “--check”, which it needs: nothing is ever written over. What differs was changed by hand, and what it was changed from is
    evidence. The exit code is 0 when nothing differs, 1 when something does.
    """
    with failures.told(code=2):
        if not check:
            raise SetupError("It only compares: say “crmgql audit rebuild --check”.")
        with machine.embedded_unless_set(config.checked()) as url:
            different = asyncio.run(_compare(url))
    for each in different:
        typer.echo(f"owner {each.owner}: {each.words}")
    if different:
        typer.echo(f"{len(different):,} balances or open items are not what their postings say.")
    else:
        typer.echo("Balances and open items are what their postings say.")
    raise SystemExit(1 if different else 0)


async def _compare(url: str) -> list[sums.Difference]:
    different: list[sums.Difference] = []
    async with audits.seeing(url) as connection:
        owners, _ = await audits.ranges(connection)
        with machine.progress(console) as bars:
            task = bars.add_task("Comparing owners", total=len(owners))
            for first, last in owners:
                different += await sums.differences(connection, first, last)
                bars.advance(task)
    return different

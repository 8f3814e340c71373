"""`crmgql export …`: what others need to check the books without us."""

from __future__ import annotations

import asyncio
from pathlib import Path
from typing import Annotated

import typer
from rich.console import Console

from crmgql import config
from crmgql.cli import failures
from crmgql.dev import machine
from crmgql.errors import SetupError
from crmgql.ledger import audits, files

app = typer.Typer(help="Files for others.", no_args_is_help=True, rich_markup_mode=None)
console = Console(stderr=True)


@app.callback()
def export() -> None:
    """Files for others."""


@app.command(name="books")
def write(
    directory: Annotated[Path, typer.Argument(help="A new or empty directory.")],
) -> None:
    """Write entries, chains and anchors as text files, exactly as they were hashed.

    README.txt beside them says what a line means and how to check it; examples/verifier/verify.mjs does it in 120 lines of
    JavaScript. All files are of one moment. No name and no address of a person is in them.
    """
    with failures.told(code=2):
        if directory.exists() and (not directory.is_dir() or any(directory.iterdir())):
            raise SetupError(f"{directory} is not an empty directory; name a new one.")
        directory.mkdir(parents=True, exist_ok=True)
        with machine.embedded_unless_set(config.checked()) as url:
            written = asyncio.run(_write(url, directory))
    console.print(f"{written.entries:,} entries and {written.anchors:,} anchors are in {directory}.", highlight=False)


async def _write(url: str, directory: Path) -> files.Written:
    async with audits.seeing(url) as connection:
        with machine.progress(console) as bars:
            task = bars.add_task("Writing entries", total=None)

            def show(done: int, total: int) -> None:
                bars.update(task, completed=done, total=total)

            return await files.write(connection, directory, progress=show)

"""Tables of figures beside their goals."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from rich.console import Console
from rich.table import Table

Line = tuple[str, float, str, bool | None]
"""What, how much, the goal as text, whether it is met; None where there is no goal."""


def show(console: Console, title: str, lines: Iterable[Line]) -> None:
    table = Table(title=title)
    for column in ("", "measured", "goal", ""):
        table.add_column(column, justify="right" if column else "left")
    for what, value, goal, is_met in lines:
        table.add_row(what, f"{value:,.4g}" if value < 1000 else f"{value:,.0f}", goal, word(is_met))
    console.print(table)


def word(is_met: bool | None) -> str:
    return "" if is_met is None else "met" if is_met else "MISSED"


def rounded(values: dict[str, Any], digits: int = 2) -> dict[str, Any]:
    return {name: round(value, digits) if isinstance(value, float) else value for name, value in values.items()}

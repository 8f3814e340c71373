"""Walks over expressions: what is in one, and the same one with parts replaced."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Iterator
from typing import Any

from crmgql.sql import ast

Change = Callable[[Any], ast.Expr | None]
"""What stands in the place of a part; None: the part stays, and what is in it is looked at."""


def parts(item: Any) -> Iterator[Any]:
    """The item and everything in it, from the outside in."""
    if isinstance(item, tuple):
        for each in item:
            yield from parts(each)
    elif dataclasses.is_dataclass(item):
        yield item
        for field in dataclasses.fields(item):
            yield from parts(getattr(item, field.name))


def columns(item: Any, table: str) -> frozenset[str]:
    """The columns of a table's alias that an expression reads."""
    return frozenset(each.name for each in parts(item) if isinstance(each, ast.Col) and each.table == table)


def replaced(item: Any, change: Change) -> Any:
    """The item with parts replaced. What takes the place of a part is not looked into."""
    if isinstance(item, tuple):
        return tuple(replaced(each, change) for each in item)
    if not dataclasses.is_dataclass(item) or isinstance(item, ast.Param):
        return item
    made = change(item)
    if made is not None:
        return made
    whole: Any = item
    inside = {field.name: replaced(getattr(item, field.name), change) for field in dataclasses.fields(item)}
    return dataclasses.replace(whole, **inside)

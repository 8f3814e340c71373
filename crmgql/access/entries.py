"""One entry per type: its noun, its table, who sees which rows and fields of it, who may change it.

`types` fills the table; the functions here read it. Three ideas carry everything:

- most records belong to a customer and are visible when the customer is;
- a customer is visible to those who see all, to its owner, and to the managers above the owner;
- an API key sees what its user sees, within its scopes.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Iterable, Mapping

from crmgql.access.rights import may
from crmgql.sql import ast
from crmgql.viewer import Who

RowRule = Callable[[Who, str, bool], ast.Expr]
"""(who, alias of the row, whether the row was reached from a visible record of the same customer) → condition."""

FieldRule = Callable[[Who, str], ast.Expr]
"""(who, alias of the row) → condition under which the field may be read."""


@dataclasses.dataclass(frozen=True)
class Access:
    """`noun` is what API keys' scopes call it, `write` the permission for changing such records; None: nobody does.

    `vouches`: a visible row proves that its customer is visible. `history`: fields that the audit trail of such records shows
    whatever the row, as they are columns: it is for those who may read them in every row. `figures`: the permission with which all of them
    count in sums and numbers, also those that one does not see.
    """

    noun: str
    table: str
    rows: RowRule
    write: str | None = None
    fields: Mapping[str, FieldRule] = dataclasses.field(default_factory=dict)
    history: tuple[str, ...] = ()
    vouches: bool = False
    figures: str | None = None


ENTRIES: dict[str, Access] = {}


def rows(record: str, who: Who, t: str, *, trusted: bool = False) -> ast.Expr:
    """The condition under which row `t` of a type is visible.

    `trusted`: the row was reached from a visible row of the same customer, over a key that the database checks.
    """
    return ENTRIES[record].rows(who, t, trusted) if has_scope(who, record, "read") else ast.FALSE


def figures(record: str, who: Who, t: str) -> ast.Expr:
    """As `rows`, for what is only counted or summed up: finance sees no lead, but what leads came to."""
    counting = ENTRIES[record].figures
    if counting is not None and may(who, counting) and has_scope(who, record, "read"):
        return ast.TRUE
    return rows(record, who, t)


def visible(record: str, who: Who) -> ast.Select:
    """All rows of a type that one sees, with all columns."""
    return ast.Select((), ast.Table(ENTRIES[record].table, "t"), where=rows(record, who, "t"), star="t")


def counted(record: str, who: Who) -> ast.Select:
    """All rows of a type that one's figures are about, with all columns."""
    return ast.Select((), ast.Table(ENTRIES[record].table, "t"), where=figures(record, who, "t"), star="t")


def field(record: str, name: str, who: Who, t: str) -> ast.Expr:
    """The condition under which a field of row `t` may be read; TRUE for nearly all."""
    rule = ENTRIES[record].fields.get(name)
    return ast.TRUE if rule is None else rule(who, t)


def has_scope(who: Who, record: str, way: str) -> bool:
    """Whether the viewer is a person, or a key that may `read` or `write` records of the type."""
    return who.scopes is None or bool(who.scopes & {f"{ENTRIES[record].noun}:{way}", f"*:{way}"})


def seeing_only(who: Who, records: Iterable[str]) -> Who:
    """The same viewer, seeing nothing but records of these types: the rules of all others are left out of statements, and
    viewers whose rules for these are the same can share them."""
    return Who(who.roles, frozenset(f"{ENTRIES[each].noun}:read" for each in records if has_scope(who, each, "read")))


def sees_all(who: Who, record: str) -> bool:
    """Whether one's roles show every row of a type. A key's scopes count for nothing: they narrow what its user may see."""
    return ENTRIES[record].rows(Who(who.roles), "t", False) == ast.TRUE

"""Bank statements in CSV, read through a layout. Pure.

Enters: a file's bytes and the `Layout` of its bank. Leaves: a statement for each account and currency in it, or a
`BankFileInvalid` that says line and column. A file is taken whole or not at all. If it has running balances, each is checked,
and the statement has an opening and a closing one.
"""

from __future__ import annotations

import csv
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from datetime import date, datetime
from decimal import Decimal
from functools import lru_cache
from io import StringIO
from typing import TypeVar

from crmgql.domain.money.bank import lines
from crmgql.domain.money.bank.layouts import ISO, Layout
from crmgql.domain.money.bank.lines import Balance, BankFileInvalid, BankFileUnbalanced, Line, Statement
from crmgql.records import numbers
from crmgql.records.numbers import short

T = TypeVar("T")
MINUS_SIGN = "\u2212"


@dataclass(frozen=True, slots=True)
class _Row:
    """A movement with the balance after it, if the file tells it."""

    line: Line
    balance: Decimal | None


def read(content: bytes, layout: Layout) -> list[Statement]:
    """The statements, none for a file without movements. Raises `BankFileInvalid`, `BankFileUnbalanced`, `BankFileTooLarge`."""
    lines.check_size(content)
    rows: dict[tuple[str, str], list[_Row]] = {}
    skipped: dict[tuple[str, str], int] = {}
    reader = _Reader(layout)
    for n, record in _records(_text(content, layout), layout):
        found = reader.row(n, record)
        lines.check_count(n)
        of = found.line.account, found.line.currency
        rows.setdefault(of, [])
        if found.line.amount and reader.is_booked(record):
            rows[of].append(found)
        else:
            skipped[of] = skipped.get(of, 0) + 1
    return [_statement(*of, each, skipped.get(of, 0)) for of, each in rows.items()]


def _text(content: bytes, layout: Layout) -> str:
    encoding = layout.csv.encoding
    try:
        return content.decode("utf-8-sig" if encoding.lower().replace("_", "-") in ("utf-8", "utf8") else encoding)
    except UnicodeError as error:
        line = content.count(b"\n", 0, error.start) + 1 if isinstance(error, UnicodeDecodeError) else None
        raise BankFileInvalid(f"This is not {encoding}; name the encoding in the layout.", line=line) from None


def _records(text: str, layout: Layout) -> Iterator[tuple[int, Mapping[str, str]]]:
    """Each record as its cells by column, with the line it starts in."""
    head, foot = layout.csv.head, layout.csv.foot
    written = list(StringIO(text.rstrip("\r\n"), newline=""))
    kept = written[head : len(written) - foot]
    reader = csv.reader(kept, delimiter=layout.csv.delimiter, quotechar=layout.csv.quote, strict=True)
    names: tuple[str, ...] = ()
    while True:
        line = head + reader.line_num + 1
        try:
            cells = next(reader)
        except StopIteration:
            break
        except csv.Error as error:
            raise BankFileInvalid(f"This is not well-formed CSV: {error}.", line=line) from None
        if not any(cell.strip() for cell in cells):
            continue
        if not names:
            names = _names(cells, layout, line)
        elif len(cells) != len(names):
            raise BankFileInvalid(f"It has {len(cells)} cells, the names of columns are {len(names)}.", line=line)
        else:
            yield line, dict(zip(names, (cell.strip() for cell in cells), strict=True))
    if not names:
        raise BankFileInvalid("There is no line with the names of the columns; say in csv.head how many are before it.")


def _names(cells: list[str], layout: Layout, line: int) -> tuple[str, ...]:
    """The names of the columns. Columns without a name, and doubles that the layout does not use, are allowed."""
    names = [cell.strip() for cell in cells]
    for field, columns in layout.columns.named.items():
        for column in columns:
            if names.count(column) != 1:
                told = f"columns.{field} is {column!r}, and {names.count(column) or 'no'} columns are named so"
                raise BankFileInvalid(f"{told}; there are: {', '.join(names)}.", line=line)
    used = {column for columns in layout.columns.named.values() for column in columns}
    return tuple(name if name in used else f"{n}: {name}" for n, name in enumerate(names))


class _Reader:
    """Reads the values of records as the layout says."""

    def __init__(self, layout: Layout) -> None:
        self.layout = layout
        self.columns = layout.columns
        self.number = numbers.reader(layout.formats.decimal, layout.formats.thousands)
        self.day = _days(layout.formats.date)

    def is_booked(self, record: Mapping[str, str]) -> bool:
        return not self.columns.status or record[self.columns.status] in self.layout.booked

    def row(self, n: int, record: Mapping[str, str]) -> _Row:
        def at(column: str, convert: Callable[[str], T]) -> T:
            try:
                return convert(record[column])
            except ValueError as error:
                raise BankFileInvalid(f"{error}.", line=n, element=column) from None

        def text(column: str) -> str:
            return record[column] if column else ""

        columns = self.columns
        currency = self.layout.currency or at(columns.currency, lines.currency_code)
        line = Line(
            at(columns.account, _account) if columns.account else lines.account_number(self.layout.account),
            currency,
            at(columns.booked_on, self.day),
            at(columns.value_on, self.day) if text(columns.value_on) else None,
            self._amount(record, currency, at),
            lines.clean(text(columns.name)),
            lines.account_number(text(columns.counterparty)),
            lines.references(record[column] for column in columns.references),
            lines.reference(text(columns.end_to_end_id)),
            lines.reference(text(columns.bank_id)),
            lines.clean(text(columns.kind)),
            place=f"line {n}",
        )
        balance = at(columns.balance, lambda cell: self._exact(cell, currency)) if text(columns.balance) else None
        return _Row(line, balance)

    def _amount(self, record: Mapping[str, str], currency: str, at: Callable[..., Decimal]) -> Decimal:
        def exact(cell: str) -> Decimal:
            return self._exact(cell, currency)

        def unsigned(cell: str) -> Decimal:
            value = exact(cell) if cell else Decimal(0)
            if value < 0:
                raise ValueError(f"{short(cell)} has a sign, which its column gives already")
            return value

        def debit(cell: str) -> Decimal:
            if self.layout.signs.debits_are == "positive":
                return -unsigned(cell)
            value = exact(cell) if cell else Decimal(0)
            if value > 0:
                raise ValueError(f"{short(cell)} has no minus, which signs.debits_are says of debits")
            return value

        columns = self.columns
        if not columns.amount:
            return at(columns.credit, unsigned) + at(columns.debit, debit)
        if not columns.direction:
            return at(columns.amount, exact)
        came_in = at(columns.direction, self._came_in)
        return at(columns.amount, unsigned) if came_in else -at(columns.amount, unsigned)

    def _came_in(self, cell: str) -> bool:
        signs = self.layout.signs
        if cell not in (*signs.credit, *signs.debit):
            raise ValueError(f"{short(cell)} is none of {', '.join((*signs.credit, *signs.debit))}")
        return cell in signs.credit

    def _exact(self, cell: str, currency: str) -> Decimal:
        """The number with its sign, before it or behind it, at the currency's decimals."""
        written = cell.replace(MINUS_SIGN, "-")
        if written.endswith(("-", "+")):
            written = written[-1] + written[:-1].rstrip()
        return lines.amount(self.number(written), currency)


def _account(cell: str) -> str:
    if not (number := lines.account_number(cell)):
        raise ValueError("the account is missing")
    return number


def _days(formats: tuple[str, ...]) -> Callable[[str], date]:
    @lru_cache(maxsize=1000)
    def day(cell: str) -> date:
        for each in formats:
            try:
                return date.fromisoformat(cell) if each == ISO else datetime.strptime(cell, each).date()
            except ValueError:
                continue
        raise ValueError(f"{short(cell)} is not a date ({' or '.join(formats)})")

    return day


def _statement(account: str, currency: str, rows: list[_Row], skipped: int) -> Statement:
    """The rows as a statement, the oldest first, as far as running balances tell which that is."""
    opening = closing = None
    told = sum(row.balance is not None for row in rows)
    if told > 1 or told == len(rows) == 1:
        rows, reached = _in_order(rows)
        closing = Balance(reached, rows[-1].line.booked_on)
        opening = Balance(reached - sum(row.line.amount for row in rows), rows[0].line.booked_on)
    moved = lines.keyed(row.line for row in rows)
    return Statement("", account, currency, opening, closing, moved, skipped)


def _in_order(rows: list[_Row]) -> tuple[list[_Row], Decimal]:
    """The rows such that each balance is the one before plus the amounts since, and what they come to. Banks list the newest
    first or last. Raises `BankFileUnbalanced`."""
    orders = [rows, rows[::-1]] if rows[0].line.booked_on <= rows[-1].line.booked_on else [rows[::-1], rows]
    for order in orders:
        reached, broken = _follow(order)
        if broken is None:
            return order, reached
    _, broken = _follow(orders[0])
    raise BankFileUnbalanced(
        "The balance is not the one before plus the amounts since, whether the newest lines are first or last.",
        element=broken.line.place if broken else "",
    )


def _follow(rows: list[_Row]) -> tuple[Decimal, _Row | None]:
    """The balance that the rows come to, or the row whose balance does not follow."""
    reached: Decimal | None = None
    for row in rows:
        if reached is not None:
            reached += row.line.amount
        if row.balance is not None:
            if reached not in (None, row.balance):
                return row.balance, row
            reached = row.balance
    return reached or Decimal(0), None

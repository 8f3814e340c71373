"""A bank's statement: balances, and the lines between them. Pure.

Enters: what a reader (`camt`, `csv_statements`) found in a file. Leaves: statements whose sums were checked, with lines
that have a key each. Always holds: opening + lines = closing wherever a file tells both; the same line has the same key
in whatever file it comes again, and two lines of one file never share one.
"""

from __future__ import annotations

import hashlib
import re
from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass, replace
from datetime import date
from decimal import Decimal

from crmgql.errors import BadUserInput, CrmError
from crmgql.records import money
from crmgql.records.numbers import short

LARGEST_FILE = 64 * 1024 * 1024
MOST_LINES = 100_000
MOST_TEXTS = 20
LONGEST_TEXT = 500
NO_ID = frozenset({"NONREF", "NOTPROVIDED", "NOT PROVIDED", "NONE", "N/A", "-"})
"""What banks write where there is no reference."""


class BankFileInvalid(BadUserInput):
    """A file that can't be read as what it is said to be. `line` and `element` say where, as far as that is known."""

    code = "BANK_FILE_INVALID"

    def __init__(self, message: str, *, line: int | None = None, element: str = "") -> None:
        self.line, self.element = line, element
        where = ", ".join(part for part in (f"line {line}" if line else "", element) if part)
        super().__init__(f"{where[:1].upper()}{where[1:]}: {message}" if where else message, field="file")


class BankFileUnbalanced(BankFileInvalid):
    """Opening balance + lines is not the closing balance: something is missing in the file, or was read wrongly."""

    code = "BANK_FILE_UNBALANCED"


class BankFileTooLarge(CrmError):
    """More bytes or lines than one file may have."""

    code = "BANK_FILE_TOO_LARGE"
    final = True


@dataclass(frozen=True, slots=True)
class Line:
    """One movement on an account. `amount` is in `currency`, positive where money came in.

    `name` and `counterparty` are the other side's name and account, `references` the texts that came with it.
    `bank_id` is the bank's own id of the movement, `kind` its own word for what it is. `place` says where it stood in the file.
    """

    account: str
    currency: str
    booked_on: date
    value_on: date | None
    amount: Decimal
    name: str = ""
    counterparty: str = ""
    references: tuple[str, ...] = ()
    end_to_end_id: str = ""
    bank_id: str = ""
    kind: str = ""
    reversal: bool = False
    place: str = ""
    key: str = ""


@dataclass(frozen=True, slots=True)
class Balance:
    amount: Decimal
    on: date


@dataclass(frozen=True, slots=True)
class Statement:
    """Lines of one account in one currency. `skipped` counts what the bank told of that moved no money: pending, of zero."""

    id: str
    account: str
    currency: str
    opening: Balance | None
    closing: Balance | None
    lines: tuple[Line, ...]
    skipped: int = 0

    @property
    def checked(self) -> bool:
        """Whether the file told both balances, so that no line can be missing."""
        return self.opening is not None and self.closing is not None


def check_size(content: bytes) -> None:
    if len(content) > LARGEST_FILE:
        raise BankFileTooLarge(
            f"A bank file has up to {LARGEST_FILE // 1024 // 1024} MiB; ask the bank for shorter periods."
        )


def check_count(lines: int) -> None:
    if lines > MOST_LINES:
        raise BankFileTooLarge(f"A bank file has up to {MOST_LINES:,} lines; ask the bank for shorter periods.")


def check_balance(statement: Statement) -> Statement:
    """The statement, if opening + lines = closing or one of both is not told. Raises `BankFileUnbalanced`."""
    if statement.opening is None or statement.closing is None:
        return statement
    moved = sum((line.amount for line in statement.lines), Decimal(0))
    reached, told = statement.opening.amount + moved, statement.closing.amount
    if reached != told:
        raise BankFileUnbalanced(
            f"{statement.opening.amount} and {len(statement.lines)} lines of {moved} make {reached} {statement.currency}, "
            f"the closing balance is {told}: {told - reached} is missing.",
            element=f"statement {statement.id or '1'} of {statement.account}",
        )
    return statement


def amount(value: Decimal, currency: str) -> Decimal:
    """The value with its currency's decimals. Raises ValueError for one that has more, or is too large."""
    if abs(value) >= money.LIMIT:
        raise ValueError(f"{value} is too large: at most 15 digits before the decimal point")
    exact = money.rounded(value, currency)
    if exact != value:
        raise ValueError(f"{value} has too many decimals: {currency} has {money.scale(currency)}")
    return exact


def currency_code(text: str) -> str:
    if not re.fullmatch("[A-Z]{3}", text):
        raise ValueError(f"{short(text)} is not a currency code such as EUR")
    return text


def clean(text: str | None) -> str:
    """One line of text: spaces collapsed, control characters gone, cut to what is kept."""
    if not text:
        return ""
    words = "".join(letter if letter.isprintable() else " " for letter in text[: 4 * LONGEST_TEXT]).split()
    return " ".join(words)[:LONGEST_TEXT]


def account_number(text: str | None) -> str:
    """An IBAN or another number without spaces, so that two spellings are one account."""
    return clean(text).replace(" ", "").upper()


def reference(text: str | None) -> str:
    """An id as sent, or "" where the bank wrote that there is none."""
    known = clean(text)
    return "" if known.upper() in NO_ID else known


def references(texts: Iterable[str | None]) -> tuple[str, ...]:
    """Each text once, in their order."""
    found = dict.fromkeys(text for text in map(reference, texts) if text)
    return tuple(found)[:MOST_TEXTS]


def keyed(lines: Iterable[Line], *, origin: str = "") -> tuple[Line, ...]:
    """The lines with their keys. `origin` is the statement's own id, if a line keeps to one statement.

    The bank's own id makes a line known again, whatever statement or format it comes in. Without one its facts do: of
    several that are equal the first stays the first, which holds as long as a file has all lines of a day.
    """
    seen: Counter[str] = Counter()
    found = []
    for line in lines:
        facts = _facts(line, origin)
        seen[facts] += 1
        digest = hashlib.sha256(f"{facts}\n{seen[facts]}".encode()).hexdigest()
        found.append(replace(line, key=digest))
    return tuple(found)


def _facts(line: Line, origin: str) -> str:
    facts = [line.account, line.currency, line.booked_on.isoformat(), str(line.amount)]
    if line.bank_id:
        return "\t".join([*facts, "id", line.bank_id])
    day = line.value_on.isoformat() if line.value_on else ""
    return "\t".join([*facts, origin, day, line.name, line.counterparty, line.end_to_end_id, *line.references])

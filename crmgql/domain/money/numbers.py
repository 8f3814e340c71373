"""Numbers of documents, without gaps: by series and year, given in the transaction that issues the document.

Always holds: whoever takes a number holds the series until its transaction ends, so a number that is not used is given again;
the database refuses a document whose number before is missing.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from datetime import date

from crmgql.errors import BadUserInput, Conflict
from crmgql.ledger import book
from crmgql.models import DocumentKind
from crmgql.records.records import Act, Row

CODE = re.compile(r"[A-Z0-9]{1,10}")
DEFAULTS = {DocumentKind.INVOICE: "INV", DocumentKind.CREDIT_NOTE: "CN"}
TAKE = """
INSERT INTO number_series (company_id, kind, code, year, last_n, last_on) VALUES ($1, $2, $3, $4, 1, $5)
ON CONFLICT (company_id, kind, code, year) DO UPDATE SET last_n = number_series.last_n + 1, last_on = EXCLUDED.last_on
RETURNING new.last_n, old.last_on AS was_on"""


@dataclass(frozen=True, slots=True)
class Number:
    """A place in a series of a year, such as `INV-2026-000017`."""

    series: str
    year: int
    n: int

    @property
    def columns(self) -> Row:
        text = f"{self.series}-{self.year}-{self.n:06}"
        return {"number": text, "series": self.series, "year": self.year, "n": self.n}


async def take(act: Act, kind: DocumentKind, day: date, *, series: str | None = None) -> Number:
    """The next number of the series in the day's year. Raises `BadUserInput` for a bad code, and `Conflict` for a day before
    that of the series' last document: numbers are in the order of days."""
    code = DEFAULTS[kind] if series is None else series
    if not CODE.fullmatch(code):
        raise BadUserInput("A series is 1 to 10 capital letters and digits.", field="series")
    company = await book.company_of(act)
    row = await act.tx.connection.fetchrow(TAKE, company.id, kind, code, day.year, day)
    if row["was_on"] is not None and row["was_on"] > day:
        raise Conflict(
            f"The last number of {code} is of {row['was_on']}; the next one can't be of {day}.", field="issuedOn"
        )
    return Number(code, day.year, row["last_n"])

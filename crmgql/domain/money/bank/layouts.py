"""How a bank writes its CSV files: declared once per bank, like the mapping of an import. Pure.

Enters: a table, from TOML or JSON. Leaves: a `Layout`, or a `BadUserInput` that names the key and what would be right.

    account = "DE75512108001245126199"          # or a column of this name, for files of several accounts
    currency = "EUR"                            # likewise
    csv = { encoding = "cp1252", delimiter = ";", head = 6, foot = 1 }
    formats = { date = ["%d.%m.%Y"], decimal = ",", thousands = "." }
    columns = { booked_on = "Buchungstag", amount = "Betrag", name = "Name", references = ["Verwendungszweck"] }
"""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime
from typing import Annotated, Any, Literal, Self

from pydantic import BaseModel, BeforeValidator, ConfigDict, Field, ValidationError, field_validator, model_validator

from crmgql.domain.money.bank import lines
from crmgql.errors import BadUserInput

ISO = "iso"
SOME_DAY = datetime(2026, 3, 14)
Texts = Annotated[tuple[str, ...], BeforeValidator(lambda given: (given,) if isinstance(given, str) else given)]
"""One text, or a list of them."""
Letter = Annotated[str, Field(min_length=1, max_length=1)]


class _Table(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True)


class Csv(_Table):
    """`head` lines stand before the line that names the columns, `foot` lines behind the last movement."""

    encoding: str = "utf-8"
    delimiter: Letter = ","
    quote: Letter = '"'
    head: int = Field(0, ge=0, le=1000)
    foot: int = Field(0, ge=0, le=1000)

    @field_validator("encoding")
    @classmethod
    def _known(cls, name: str) -> str:
        try:
            "a".encode(name)
        except (LookupError, ValueError):
            raise ValueError(f"{name!r} is no text encoding; write one such as utf-8, cp1252 or gb18030") from None
        return name


class Formats(_Table):
    """Dates are tried in their order."""

    date: Texts = (ISO,)
    decimal: Literal[".", ","] = "."
    thousands: Literal["", ",", ".", " ", "'", "\u2019", "\u00a0", "\u202f"] = ""

    @field_validator("date")
    @classmethod
    def _dates(cls, formats: tuple[str, ...]) -> tuple[str, ...]:
        for each in formats:
            try:
                written = each if each == ISO else SOME_DAY.strftime(each)
                if each != ISO and datetime.strptime(written, each) != SOME_DAY:
                    raise ValueError
            except ValueError:
                raise ValueError(f"{each!r} does not write a whole date; write 'iso' or such as '%d.%m.%Y'") from None
        return formats

    @model_validator(mode="after")
    def _apart(self) -> Self:
        if self.decimal == self.thousands:
            raise ValueError(f"decimal and thousands are both {self.decimal!r}; one of them must differ")
        return self


class Columns(_Table):
    """The names of the columns. Amounts are in `amount`, with a sign or beside a `direction`, or in `credit` and `debit`."""

    booked_on: str
    value_on: str = ""
    amount: str = ""
    direction: str = ""
    credit: str = ""
    debit: str = ""
    balance: str = ""
    account: str = ""
    currency: str = ""
    name: str = ""
    counterparty: str = ""
    references: Texts = ()
    end_to_end_id: str = ""
    bank_id: str = ""
    kind: str = ""
    status: str = ""

    @model_validator(mode="after")
    def _one_amount(self) -> Self:
        if bool(self.amount) == bool(self.credit and self.debit) or bool(self.credit) != bool(self.debit):
            raise ValueError("name either amount, or credit and debit")
        if self.direction and not self.amount:
            raise ValueError("a direction needs the column amount")
        return self

    @property
    def named(self) -> dict[str, tuple[str, ...]]:
        """Each field with its columns, as far as it has any."""
        given = {name: getattr(self, name) for name in type(self).model_fields}
        return {name: (value,) if isinstance(value, str) else value for name, value in given.items() if value}


class Signs(_Table):
    """What the `direction` says of money that came in and went out, and whether debits are written as -12.00."""

    credit: Texts = ()
    debit: Texts = ()
    debits_are: Literal["positive", "negative"] = "positive"


class Layout(_Table):
    """A bank's way to write. `booked`: what the `status` says of lines that count; the others are skipped."""

    account: str = ""
    currency: str = ""
    csv: Csv = Csv()
    formats: Formats = Formats()
    columns: Columns
    signs: Signs = Signs()
    booked: Texts = ()

    @field_validator("currency")
    @classmethod
    def _currency(cls, code: str) -> str:
        return lines.currency_code(code) if code else ""

    @model_validator(mode="after")
    def _whole(self) -> Self:
        for name in ("account", "currency"):
            if bool(getattr(self, name)) == bool(getattr(self.columns, name)):
                raise ValueError(f"give the {name}, or the column that it is in")
        if bool(self.columns.direction) != bool(self.signs.credit and self.signs.debit):
            raise ValueError("signs.credit and signs.debit are the words of columns.direction: give all three or none")
        if bool(self.columns.status) != bool(self.booked):
            raise ValueError("booked has the words of columns.status: give both or none")
        return self


def layout(table: Mapping[str, Any], *, field: str = "layout") -> Layout:
    """The layout of a table. Raises `BadUserInput` with the path of the key."""
    try:
        return Layout.model_validate(dict(table))
    except ValidationError as error:
        first = error.errors(include_url=False)[0]
        unknown = first["type"] == "extra_forbidden"
        message = "there is no such key in a layout" if unknown else str(first["msg"]).removeprefix("Value error, ")
        path = ".".join([field, *map(str, first["loc"])])
        raise BadUserInput(f"{message[:1].upper()}{message[1:]}.", field=path) from None

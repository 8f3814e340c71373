"""What is printed, as facts. Every figure comes as it was posted: paper works out nothing but a running balance. Pure."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import date
from decimal import Decimal
from typing import Literal


@dataclass(frozen=True, slots=True)
class Issuer:
    """The company's particulars. Empty ones are left out."""

    name: str
    address: tuple[str, ...] = ()
    tax_id: str = ""
    registration: str = ""
    email: str = ""
    phone: str = ""
    website: str = ""
    bank: str = ""
    account: str = ""
    bank_code: str = ""


@dataclass(frozen=True, slots=True)
class Recipient:
    """The customer. `number` is the company's own for it."""

    name: str
    address: tuple[str, ...] = ()
    tax_id: str = ""
    number: str = ""


@dataclass(frozen=True, slots=True)
class ItemLine:
    """A position. `amount` is net of the discount; `tax_rate` in per cent. `details` stand below the description."""

    description: str
    quantity: Decimal
    unit_price: Decimal
    amount: Decimal
    details: str = ""
    unit: str = ""
    discount: Decimal = Decimal(0)
    tax_rate: Decimal | None = None


@dataclass(frozen=True, slots=True)
class Tax:
    """The tax of one rate: `rate` in per cent of `net`. `name` is what it is called, such as VAT or 增值税."""

    amount: Decimal
    net: Decimal
    rate: Decimal | None = None
    name: str = ""


@dataclass(frozen=True, slots=True)
class Instalment:
    """A part of the total, due on a day. `open` of it is not paid yet."""

    due_on: date
    amount: Decimal
    open: Decimal


@dataclass(frozen=True, slots=True)
class Invoice:
    """An invoice, or with `kind` a credit note, whose amounts are positive too. `corrects` is the number of its invoice.

    `paid` is what was received, or credited, before it was printed. `subtotal` is before `discount` and `shipping`.
    """

    number: str
    issued_on: date
    currency: str
    issuer: Issuer
    recipient: Recipient
    lines: tuple[ItemLine, ...]
    subtotal: Decimal
    total: Decimal
    discount: Decimal = Decimal(0)
    shipping: Decimal = Decimal(0)
    taxes: tuple[Tax, ...] = ()
    paid: Decimal = Decimal(0)
    instalments: tuple[Instalment, ...] = ()
    order: str = ""
    reference: str = ""
    delivered_on: date | None = None
    notes: str = ""
    corrects: str = ""
    kind: Literal["INVOICE", "CREDIT_NOTE"] = "INVOICE"


@dataclass(frozen=True, slots=True)
class Entry:
    """A line of a statement: `debit` is what the customer owes more, `credit` what it owes less."""

    on: date
    text: str
    reference: str = ""
    due_on: date | None = None
    debit: Decimal = Decimal(0)
    credit: Decimal = Decimal(0)


@dataclass(frozen=True, slots=True)
class Ageing:
    """What is open on the statement's last day, by how long it has been due."""

    not_due: Decimal
    days_1_30: Decimal
    days_31_60: Decimal
    days_61_90: Decimal
    days_over_90: Decimal


@dataclass(frozen=True, slots=True)
class Account:
    """A customer's statement of account in one currency, from the first day to the last. Balances are what the customer owes."""

    currency: str
    first_day: date
    last_day: date
    issuer: Issuer
    recipient: Recipient
    opening: Decimal
    entries: tuple[Entry, ...]
    ageing: Ageing | None = None
    notes: str = ""


Document = Invoice | Account

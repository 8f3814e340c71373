"""Books with something of everything: two customers and the company, three currencies, all phases, reversals, several lanes."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import date
from decimal import Decimal
from uuid import UUID

import asyncpg

from crmgql import db
from crmgql.ledger import anchors, book
from crmgql.ledger.accounts import Account
from crmgql.ledger.postings import Entry, Item, Posting
from crmgql.models import Phase, Purpose
from tests.conftest import NOW
from tests.ledger.conftest import acting, add_customer, entry, receivable, sale, usd

BANK, CLEARING, REVENUE = Account(Purpose.BANK), Account(Purpose.CLEARING), Account(Purpose.REVENUE)


@dataclass(frozen=True)
class Books:
    """Two customers, the company, and of the first customer entries that are pending, were ended and were reversed."""

    customer: UUID
    other: UUID
    company: UUID
    pending: UUID
    ended: UUID
    reversed: UUID


async def keep(crm: db.Database, database: asyncpg.Connection, *, anchored: bool = True) -> Books:
    """Posts them; the last entry of the first customer is in no anchor."""
    customer, other = await add_customer(database), await add_customer(database, "Other")
    payment = Item(Purpose.UNEARNED, "USD")
    item, euros, yen = Item(Purpose.RECEIVABLE, "USD", due_on=date(2026, 12, 1)), foreign("EUR"), foreign("JPY")
    async with acting(crm) as act:
        await book.post(
            act,
            [
                sale(customer, item, "100.00"),
                entry("receipt", customer, usd(payment.account, CLEARING, "40.00"), key="receipt", items=[payment]),
                entry("order.confirmed", customer, *abroad(euros, "50.00", "55.00"), key="euros", items=[euros]),
                entry("order.confirmed", other, *abroad(yen, "5000", "33.00"), key="yen", items=[yen]),
                sale(other, receivable(), "1.00"),
                entry("payout", None, usd(CLEARING, BANK, "40.00"), key="payout"),
            ],
        )
    async with acting(crm) as one, acting(crm) as two:  # at the same time: in another lane
        allocation = entry("allocation", customer, usd(item.account, payment.account, "10.00"), key="allocation")
        (reversed,) = await book.post(one, [allocation])
        await book.post(two, [entry("fee", customer, usd(CLEARING, BANK, "1.00"), key="fee")])
    async with acting(crm) as act:
        back = await book.reversals(act, {reversed.id: date(2026, 11, 3)}, kind="allocation.undone")
        first, second, third = await book.post(
            act,
            [
                refund(customer, payment, "5.00", "first"),
                refund(customer, payment, "6.00", "second"),
                refund(customer, payment, "7.00", "third"),
            ],
        )
        await book.post(act, back)
        await book.post(
            act,
            [
                entry("refund", customer, usd(CLEARING, payment.account, "5.00"), key="posted", resolves_id=first.id),
                entry("refund", customer, key="voided", phase=Phase.VOIDED, resolves_id=second.id),
            ],
        )
        if anchored:
            await anchors.write(act.tx, now=NOW)
    async with acting(crm) as act:
        await book.post(act, [sale(customer, receivable(), "2.00", key="last")])
        company = (await book.company_of(act)).id
    return Books(customer, other, company, third.id, first.id, reversed.id)


def refund(customer: UUID, payment: Item, amount: str, key: str) -> Entry:
    return entry("refund", customer, usd(payment.account, CLEARING, amount).back, key=key, phase=Phase.PENDING)


def foreign(currency: str) -> Item:
    return Item(Purpose.RECEIVABLE, currency)


def abroad(item: Item, amount: str, base: str) -> list[Posting]:
    """A sale in another currency, with a difference in base currency only."""
    return [
        Posting(REVENUE, item.account, item.currency, Decimal(amount), Decimal(base)),
        Posting(
            Account(Purpose.UNREALISED_FX),
            Account(Purpose.REVALUATION),
            item.currency,
            Decimal(0).quantize(Decimal(amount)),
            Decimal("0.50"),
        ),
    ]

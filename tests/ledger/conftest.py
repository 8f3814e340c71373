"""Customers, a verb's act, and ways to write entries by raw SQL."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from datetime import date
from decimal import Decimal
from typing import Any
from uuid import UUID

import asyncpg
import pytest_asyncio

from crmgql import db
from crmgql.ledger.accounts import Account
from crmgql.ledger.postings import Entry, Item, Posting
from crmgql.models import Purpose
from crmgql.records.records import Act
from crmgql.viewer import system
from tests.conftest import NOW
from tests.domain import work
from tests.ledger import trial

DAY = date(2026, 11, 1)


@asynccontextmanager
async def acting(crm: db.Database) -> AsyncIterator[Act]:
    async with crm.transaction() as tx:
        yield Act(tx, system(lambda: NOW))


async def add_customer(database: asyncpg.Connection, name: str = "Acme") -> UUID:
    return await work.insert(database, "customers", name=name, currency="USD")


@pytest_asyncio.fixture
async def database(database: asyncpg.Connection) -> AsyncIterator[asyncpg.Connection]:
    """A connection to this test's database, whose trial balance is zero after each test."""
    yield database
    await database.execute("RESET ROLE")
    await trial.balanced(database)


@pytest_asyncio.fixture
async def customer(database: asyncpg.Connection) -> UUID:
    return await add_customer(database)


def sale(customer_id: UUID | None, item: Item, amount: str, *, key: str = "sale", **more: Any) -> Entry:
    """Revenue that is owed by the customer, in US dollars, which are the base currency."""
    money = Decimal(amount)
    posting = Posting(Account(Purpose.REVENUE), item.account, "USD", money, money)
    return entry("order.confirmed", customer_id, posting, key=key, items=[item], **more)


def entry(kind: str, customer_id: UUID | None, *postings: Posting, key: str, **more: Any) -> Entry:
    source = ("Customer", customer_id or UUID(int=1))
    values = {"source": source, "effective_on": DAY, "customer_id": customer_id, **more}
    return Entry(kind=kind, key=key, postings=postings, **values)


def receivable() -> Item:
    return Item(Purpose.RECEIVABLE, "USD")


def usd(source: Account, target: Account, amount: str) -> Posting:
    return Posting(source, target, "USD", Decimal(amount), Decimal(amount))

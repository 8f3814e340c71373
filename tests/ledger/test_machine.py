"""Random books against a plain model of them: balances, open items, what is free and what is refused are the same, always."""

from __future__ import annotations

import asyncio
from collections.abc import Coroutine
from dataclasses import dataclass, replace
from decimal import Decimal
from typing import Any, TypeVar
from uuid import UUID

import asyncpg
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import (
    Bundle,
    RuleBasedStateMachine,
    initialize,
    invariant,
    multiple,
    rule,
    run_state_machine_as_test,
)

from crmgql import db
from crmgql.errors import IdempotencyConflict, ResolvedAlready, ReversedAlready
from crmgql.ledger import book, verify
from crmgql.ledger.accounts import Account
from crmgql.ledger.postings import Entry, Item, Posting, share
from crmgql.models import Phase, Purpose
from crmgql.records import money
from tests.conftest import connect
from tests.ledger.conftest import acting, add_customer, entry
from tests.ledger.model import Model

T = TypeVar("T")
SCALES = {"USD": 2, "JPY": 0, "KWD": 3}
RATES = {"USD": Decimal(1), "JPY": Decimal("0.00667"), "KWD": Decimal("3.2561")}
REVENUE, CLEARING = Account(Purpose.REVENUE), Account(Purpose.CLEARING)
GAIN, LOSS = Account(Purpose.FX_GAIN), Account(Purpose.FX_LOSS)
BALANCES = """
SELECT owner_id, purpose, currency, sum(debit), sum(credit), sum(base), sum(pending_debit), sum(pending_credit)
FROM balances WHERE owner_id = ANY ($1) GROUP BY 1, 2, 3"""
ITEMS = """
SELECT id, debited, credited, debiting, crediting, settled, base, open, free FROM open_items WHERE owner_id = ANY ($1)"""

UNITS = st.integers(min_value=1, max_value=2000)
PARTS = st.sampled_from([Decimal(part) for part in ("0.2", "0.5", "0.999", "1", "1", "1.5")])
DRIFTS = st.sampled_from([Decimal(drift) for drift in ("0.9", "1", "1.07")])

TRADES = st.tuples(st.booleans(), st.sampled_from([0, 1]), st.sampled_from(sorted(SCALES)), UNITS, DRIFTS)


@dataclass(frozen=True)
class Opened:
    """An open item, and whose it is."""

    item: Item
    owner: UUID

    def fits(self, other: Opened) -> bool:
        return (self.owner, self.item.currency) == (other.owner, other.item.currency)


@dataclass
class Place:
    """The database that all histories are in, each with customers of its own."""

    runner: asyncio.Runner
    crm: db.Database
    raw: asyncpg.Connection

    def run(self, coroutine: Coroutine[Any, Any, T]) -> T:
        return self.runner.run(coroutine)


class Machine(RuleBasedStateMachine):
    """Two customers' sales, receipts, allocations, refunds and reversals in three currencies."""

    place: Place
    received = Bundle("received")
    pending = Bundle("pending")
    posted = Bundle("posted")

    @initialize(target=received, units=UNITS, drift=DRIFTS)
    def start(self, units: int, drift: Decimal) -> Any:
        self.model = Model()
        self.owners = [self.place.run(add_customer(self.place.raw)) for _ in range(2)]
        self.receivables: list[Opened] = []
        self.payments: dict[UUID | None, Opened] = {}
        self.keys = 0
        trades = [(number, currency) for number in (0, 1) for currency in SCALES]
        return self.trade([(is_sale, *each, units, drift) for each in trades for is_sale in (True, False)])

    # What happens.

    @rule(target=received, trades=st.lists(TRADES, min_size=1, max_size=3))
    def trade(self, trades: list[tuple[bool, int, str, int, Decimal]]) -> Any:
        """Sales and receipts of both customers, in one statement."""
        entries, received = [], []
        for is_sale, number, currency, units, drift in trades:
            item = Item(Purpose.RECEIVABLE if is_sale else Purpose.UNEARNED, currency)
            opened, amounts = Opened(item, self.owners[number]), worth(units, currency, drift)
            if is_sale:
                self.receivables.append(opened)
                posting = Posting(REVENUE, item.account, currency, *amounts)
            else:
                self.payments[item.id] = opened
                received.append(opened)
                posting = Posting(item.account, CLEARING, currency, *amounts)
            kind = "sale" if is_sale else "receipt"
            entries.append(entry(kind, opened.owner, posting, key=self.key(), items=[item]))
        assert self.post(*entries) is None
        return multiple(*received)

    @rule(target=posted, payment=received, which=st.integers(0, 5), part=PARTS)
    def allocate(self, payment: Opened, which: int, part: Decimal) -> Any:
        owed = [each for each in self.receivables if each.fits(payment)]
        if not owed:
            return multiple()
        receivable = owed[which % len(owed)]
        currency = payment.item.currency
        amount = part_of(self.model.items[receivable.item.id].open, part, currency)
        due, advance = self.base(receivable, amount), self.base(payment, amount)
        postings = [Posting(receivable.item.account, payment.item.account, currency, amount, min(due, advance))]
        if advance > due:
            postings.append(Posting(GAIN, payment.item.account, currency, Decimal(0).quantize(amount), advance - due))
        if due > advance:
            postings.append(
                Posting(receivable.item.account, LOSS, currency, Decimal(0).quantize(amount), due - advance)
            )
        return self.done(entry("allocation", payment.owner, *postings, key=self.key()), amount)

    @rule(target=pending, payment=received, part=PARTS)
    def ask_back(self, payment: Opened, part: Decimal) -> Any:
        """A refund that is asked for holds its part of the payment."""
        amount = part_of(self.model.items[payment.item.id].open, part, payment.item.currency)
        return self.done(self.refund(payment, amount, phase=Phase.PENDING), amount)

    @rule(target=posted, asked=pending, part=PARTS)
    def pay_back(self, asked: UUID, part: Decimal) -> Any:
        """Ends a refund, with an amount of its own."""
        was = self.model.entries[asked].entry
        payment = self.payments[was.postings[0].target.item_id]
        amount = part_of(was.postings[0].amount, part, payment.item.currency)
        return self.done(self.refund(payment, amount, resolves_id=asked), amount)

    @rule(asked=pending)
    def give_up(self, asked: UUID) -> None:
        was = self.model.entries[asked].entry
        assert was.customer_id is not None
        voided = entry("refund", was.customer_id, key=self.key(), phase=Phase.VOIDED, resolves_id=asked)
        self.done(voided, Decimal(1))

    @rule(made=posted)
    def undo(self, made: UUID) -> None:
        known = self.model.entries[made]
        back = entry("undone", known.entry.customer_id, *(each.back for each in known.entry.postings), key=self.key())
        self.done(replace(back, reverses_id=made), Decimal(1))

    @rule(made=posted, is_other=st.booleans())
    def say_again(self, made: UUID, is_other: bool) -> None:
        was = self.model.entries[made].entry
        if is_other:
            assert self.post(replace(was, kind="another")) == IdempotencyConflict.__name__
        else:
            assert self.place.run(posting(self.place.crm, [was])) == [book.Posted(made, True)]

    # What must hold.

    @invariant()
    def is_as_the_model(self) -> None:
        if not hasattr(self, "model"):
            return
        kept = {
            (row[0], row[1], row[2]): tuple(row)[3:]
            for row in self.place.run(self.place.raw.fetch(BALANCES, self.owners))
        }
        assert kept == {key: tuple(vars(each).values()) for key, each in self.model.balances.items()}
        items = {row[0]: tuple(row)[1:] for row in self.place.run(self.place.raw.fetch(ITEMS, self.owners))}
        assert items == {
            id: (
                each.debited,
                each.credited,
                each.debiting,
                each.crediting,
                each.settled,
                each.base,
                each.open,
                each.free,
            )
            for id, each in self.model.items.items()
        }

    def teardown(self) -> None:
        if hasattr(self, "owners"):
            found = self.place.run(verified(self.place.raw, *map(str, self.owners)))
            assert [str(each) for each in found.broken] == []
            assert found.entries == len(self.model.entries)

    # How it is done.

    def key(self) -> str:
        self.keys += 1
        return f"key {self.keys}"

    def base(self, opened: Opened, amount: Decimal) -> Decimal:
        """What an item gives of its base amount; of more than it has, all."""
        rest = self.model.items[opened.item.id]
        return share(min(amount, rest.open), rest.open, rest.base, "USD")

    def refund(self, payment: Opened, amount: Decimal, **more: Any) -> Entry:
        moved = Posting(CLEARING, payment.item.account, payment.item.currency, amount, self.base(payment, amount))
        return entry("refund", payment.owner, moved, key=self.key(), **more)

    def done(self, entry: Entry, amount: Decimal) -> Any:
        """Posts it, which the model foretells; the entry, if there is one."""
        if not amount:
            return multiple()
        before = len(self.model.entries)
        expected = self.expected(entry)
        assert self.post(entry) == expected
        return list(self.model.entries)[-1] if len(self.model.entries) > before else multiple()

    def expected(self, entry: Entry) -> str | None:
        if entry.resolves_id is not None and self.model.entries[entry.resolves_id].ended:
            return ResolvedAlready.__name__
        if entry.reverses_id is not None and self.model.entries[entry.reverses_id].reversed:
            return ReversedAlready.__name__
        return None if self.model.after(entry) else "CheckViolationError"

    def post(self, *entries: Entry) -> str | None:
        """Posts them here and in the model; the name of the error, if they are refused."""
        try:
            made = self.place.run(posting(self.place.crm, entries))
        except (asyncpg.CheckViolationError, IdempotencyConflict, ResolvedAlready, ReversedAlready) as refusal:
            return type(refusal).__name__
        for each, posted in zip(entries, made, strict=True):
            after = self.model.after(each)
            assert after is not None, "it was posted, and the model would refuse it"
            self.model = after
            self.model.add(each, posted.id)
        return None


async def posting(crm: db.Database, entries: Any) -> list[book.Posted]:
    async with acting(crm) as act:
        return await book.post(act, entries)


async def verified(database: asyncpg.Connection, first: str, last: str) -> verify.Found:
    async with database.transaction():
        return await verify.check(database, first, last)


def worth(units: int, currency: str, drift: Decimal) -> tuple[Decimal, Decimal]:
    """An amount of so many smallest units times 7, and its base amount at a rate that drifts."""
    amount = Decimal(units * 7).scaleb(-SCALES[currency])
    return amount, money.rounded(amount * RATES[currency] * drift, "USD")


def part_of(amount: Decimal, part: Decimal, currency: str) -> Decimal:
    return money.rounded(amount * part, currency)


def test_books_are_as_a_plain_model_says(database_url: str) -> None:
    with asyncio.Runner() as runner:
        crm = runner.run(connect(database_url, pool_size=2))
        Machine.place = Place(runner, crm, runner.run(asyncpg.connect(database_url)))
        try:
            run_state_machine_as_test(Machine, settings=settings(max_examples=20, stateful_step_count=30))
        finally:
            runner.run(Machine.place.raw.close())
            runner.run(crm.close())

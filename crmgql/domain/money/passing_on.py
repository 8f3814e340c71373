"""Money that a payment passes on to another customer: to a subsidiary for which it pays, to a customer that this one became.

What is passed on is a payment of the other customer, `paid_from` the one that gave it; it takes over as much at the same base amount,
over TRANSFER, and is allocated as any other. It comes back when the money has to go back: what is left first, wherever it is, then
what was settled, the latest first. Always holds: over all owners TRANSFER is nothing. Set-based: the same number
of statements for one payment and for five hundred.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import date
from decimal import Decimal
from uuid import UUID

from crmgql.domain.money import allocations, refundable
from crmgql.domain.money.allocations import Document
from crmgql.domain.money.refundable import Part, Refundable
from crmgql.errors import IllegalTransition
from crmgql.events import outbox
from crmgql.events.canonical import as_json
from crmgql.ledger import book, items
from crmgql.ledger.accounts import Account
from crmgql.ledger.items import Rest
from crmgql.ledger.postings import Entry, Item, Posting, new_id, share
from crmgql.models import Purpose
from crmgql.records.records import Act, Collided, Row

TRANSFER = Account(Purpose.TRANSFER)
ELSEWHERE = "Another customer's payment passed it on; give it back with paymentGiveBack, and {} that one."
GIVEN, TAKEN_BACK = "payment.passedOn", "payment.takenBack"
MADE = ("id", "customer_id", "amount", "currency", "method", "status", "received_at", "paid_from_id")
RECORD = f"""
INSERT INTO payments ({", ".join(MADE)}, created_at, updated_at)
SELECT {", ".join(MADE)}, $2, $2 FROM jsonb_populate_recordset(NULL::payments, $1)"""
# What a payment passed on, what that passed on, and so on; the latest first.
PASSED_ON = """
WITH RECURSIVE below AS (
    SELECT * FROM payments WHERE paid_from_id = $1
    UNION ALL
    SELECT payments.* FROM below JOIN payments ON payments.paid_from_id = below.id
)
SELECT * FROM below ORDER BY id DESC"""
HELD = """
SELECT id, payment_id, purpose, opened_on FROM open_items
WHERE payment_id = ANY ($1) AND purpose IN ('UNEARNED', 'CREDIT') ORDER BY purpose DESC, id"""
STANDING = """
SELECT a.* FROM unnest($1::uuid[], $2::uuid[]) AS p(customer_id, id) JOIN allocations a ON a.customer_id = p.customer_id AND a.payment_id = p.id
WHERE a.undoes_id IS NULL AND NOT EXISTS (
    SELECT FROM allocations undoing WHERE undoing.customer_id = a.customer_id AND undoing.undoes_id = a.id)
ORDER BY a.entry_id DESC"""
TAKEN_BACK_FOR = """
SELECT e.id, e.owner_id, e.effective_on FROM ledger_entries e
WHERE e.source_id = $1 AND e.source_type = $2 AND e.kind = 'payment.takenBack' AND e.reverses_id IS NULL AND NOT EXISTS (
    SELECT FROM ledger_entries r WHERE r.owner_id = e.owner_id AND r.reverses_id = e.id)
ORDER BY e.id"""


@dataclass(frozen=True, slots=True)
class Passed:
    """A payment that is passed on: the row of the new one, what it has, and the entries of both owners."""

    row: Row
    rest: Rest
    entries: tuple[Entry, Entry]


def passed(
    payment: Row, customer_id: UUID, amount: Decimal, rests: Iterable[Rest], *, on: date, act: Act, base_currency: str
) -> Passed:
    """Takes an amount, of which as much is free, from what is left of a payment, and makes it a payment of another customer; the
    rests go down."""
    id, currency = new_id(), payment["currency"]
    taken = list(taking(amount, rests, base_currency))
    base = sum((each.base for each in taken), Decimal(0))
    item = Item(Purpose.UNEARNED, currency, payment_id=id)
    given: Row = {"source": ("Payment", id), "effective_on": on}
    giving = Entry(GIVEN, f"passed on {id}", postings=taken, customer_id=payment["customer_id"], **given)
    takes = [Posting(item.account, TRANSFER, currency, amount, base)]
    taking_over = Entry(
        "payment.received", f"received {id}", postings=takes, customer_id=customer_id, items=[item], **given
    )
    row = {
        "id": id,
        "customer_id": customer_id,
        "amount": amount,
        "currency": currency,
        "method": payment["method"],
        "status": "RECEIVED",
        "received_at": act.now,
        "paid_from_id": payment["id"],
    }
    return Passed(row, Rest(item.account, currency, amount, amount, base), (giving, taking_over))


def taking(amount: Decimal, rests: Iterable[Rest], base_currency: str) -> Iterator[Posting]:
    """What gives an amount to another owner, from the first of the rests that have it; they go down."""
    for rest in rests:
        part = min(amount, rest.free)
        if part > 0:
            base = share(part, rest.open, rest.base, base_currency)
            posting = Posting(TRANSFER, rest.account, rest.currency, part, base)
            items.move({posting.target.item_id: rest}, [posting])  # type: ignore[dict-item]
            amount -= part
            yield posting


async def record(act: Act, made: Sequence[Passed]) -> list[outbox.Entry]:
    """Writes the payments, before their entries are posted. The caller records the events."""
    if not made:
        return []
    await act.tx.connection.execute(RECORD, as_json([each.row for each in made]), act.now)
    return [_received(each.row) for each in made]


def _received(row: Row) -> outbox.Entry:
    changes: outbox.Changes = {name: (None, value) for name, value in row.items() if name != "id"}
    payload = {"version": 1, "amount": (row["amount"], row["currency"])}
    return outbox.Entry("payment.received", ("Payment", row["id"]), row["customer_id"], changes, payload)


@dataclass(slots=True)
class Holder:
    """A payment that was passed on: what is left of it, what it settles, the latest first, and what it passed on itself."""

    row: Row
    rests: list[Rest] = field(default_factory=list)
    standing: list[Row] = field(default_factory=list)
    below: list[Holder] = field(default_factory=list)

    @property
    def free(self) -> Decimal:
        return sum((rest.free for rest in self.rests), Decimal(0))

    @property
    def settled(self) -> Decimal:
        return sum((row["paid_amount"] for row in self.standing), Decimal(0))


@dataclass(frozen=True, slots=True)
class Return:
    """What a payment gives back to the one that it came from, and the allocations that are undone for it."""

    holder: Holder
    amount: Decimal
    parts: list[Part]


def returns(need: Decimal, holders: Iterable[Holder]) -> list[Return]:
    """Who gives how much back until the need is covered: what is left of any of them first, then what they settled. What gives on comes
    before what it gives to. Pure."""
    first = list(holders)
    everyone = [each for holder in first for each in _all(holder)]
    own: dict[UUID, tuple[Decimal, Decimal]] = {}
    for each in everyone:
        own[each.row["id"]] = (max(min(need, each.free), Decimal(0)), Decimal(0))
        need -= own[each.row["id"]][0]
    for each in everyone:
        free, settled = own[each.row["id"]][0], max(min(need, each.settled), Decimal(0))
        own[each.row["id"]] = (free, settled)
        need -= settled
    found: list[Return] = []
    for holder in first:
        _return(holder, own, found)
    return found


def _all(holder: Holder) -> Iterator[Holder]:
    yield holder
    for each in holder.below:
        yield from _all(each)


def _return(holder: Holder, own: Mapping[UUID, tuple[Decimal, Decimal]], found: list[Return]) -> Decimal:
    free, settled = own[holder.row["id"]]
    amount = sum((_return(each, own, found) for each in holder.below), free + settled)
    if amount > 0:
        found.append(Return(holder, amount, refundable.choose(settled, holder.standing)))
    return amount


@dataclass(frozen=True, slots=True)
class PassedOn:
    """All that a payment passed on, directly or not, of which `holders` are what it passed on itself; `owed`: the receivables that
    it settles."""

    holders: list[Holder]
    owed: dict[UUID, Rest]
    all: list[Holder]

    @property
    def free(self) -> Decimal:
        return sum((each.free for each in self.all), Decimal(0))

    @property
    def most(self) -> Decimal:
        return sum((each.settled for each in self.all), self.free)


NOTHING = PassedOn([], {}, [])


async def below(act: Act, payment: Row, *, holding: bool = True) -> PassedOn:
    """What became of what a payment passed on; held until the transaction ends, unless it is only to look at."""
    rows = [dict(row) for row in await act.tx.connection.fetch(PASSED_ON, payment["id"])]
    if not rows:
        return NOTHING
    holders = {row["id"]: Holder(row) for row in rows}
    for row in rows:
        if row["paid_from_id"] in holders:
            holders[row["paid_from_id"]].below.append(holders[row["id"]])
    owners = [row["customer_id"] for row in rows]
    found = await act.tx.connection.fetch(HELD, list(holders))
    before = await act.tx.connection.fetch(STANDING, owners, list(holders))
    wanted = {row["id"] for row in found} | {row["item_id"] for row in before}
    rests = await (items.lock if holding else items.read)(act, wanted)
    standing = await act.tx.connection.fetch(STANDING, owners, list(holders)) if holding else before
    if not {row["item_id"] for row in standing} <= rests.keys():
        raise Collided
    for row in standing:
        holders[row["payment_id"]].standing.append(dict(row))
    for row in found:
        holders[row["payment_id"]].rests.append(rests.pop(row["id"]))
    first = [each for each in holders.values() if each.row["paid_from_id"] == payment["id"]]
    return PassedOn(first, rests, list(holders.values()))


async def reclaim(act: Act, payment: Row, found: PassedOn, need: Decimal, *, source: Document, on: date) -> None:
    """Brings back for a document what a payment passed on, as much as is needed of it."""
    wanted = returns(need, found.holders)
    if not wanted:
        return
    own = await book.company_of(act)
    parts = [part for each in wanted for part in each.parts]
    everything = Refundable([rest for each in found.all for rest in each.rests], [], found.owed, on, [])
    made = await refundable.undo(act, everything, parts, source=source, on=on, base_currency=own.currency)
    day = max([on, *(each.row["allocated_on"] for each in made)])
    above = await _unearned(act, {each.holder.row["paid_from_id"] for each in wanted})
    rests = {each.row["id"]: each.rests for each in found.all}
    entries: list[Entry] = []
    for each in wanted:
        holder, key = each.holder, f"taken back {each.holder.row['id']} {source[1]}"
        to = next(iter(rests.get(holder.row["paid_from_id"], [])), above[holder.row["paid_from_id"]])
        back, given = both(each.amount, holder.rests, to, own.currency)
        owner = above_owner(found, payment, holder)
        entries += _returning(back, given, holder.row["customer_id"], owner, source, source, day, key)
    await outbox.record_many(act.tx, act.viewer, await allocations.post(act, made, after=entries))


def above_owner(found: PassedOn, payment: Row, holder: Holder) -> UUID:
    """Whose payment passed it on."""
    by_id = {each.row["id"]: each.row["customer_id"] for each in found.all} | {payment["id"]: payment["customer_id"]}
    return by_id[holder.row["paid_from_id"]]  # type: ignore[no-any-return]


def both(amount: Decimal, rests: Iterable[Rest], to: Rest, base_currency: str) -> tuple[list[Posting], list[Posting]]:
    """What gives an amount back, and what takes it; all rests follow."""
    back = list(taking(amount, rests, base_currency))
    base = sum((each.base for each in back), Decimal(0))
    given = [Posting(to.account, TRANSFER, to.currency, amount, base)]
    items.move({to.account.item_id: to}, given)  # type: ignore[dict-item]
    return back, given


def _returning(
    back: Sequence[Posting],
    given: Sequence[Posting],
    giver: UUID,
    taker: UUID,
    gives: Document,
    takes: Document,
    day: date,
    key: str,
) -> list[Entry]:
    return [
        Entry(TAKEN_BACK, key, gives, day, back, customer_id=giver),
        Entry(TAKEN_BACK, key, takes, day, given, customer_id=taker),
    ]


async def give_back(
    act: Act, payment: Row, giver: Row, amount: Decimal, rests: Iterable[Rest], *, on: date, key: UUID
) -> list[Entry]:
    """The entries with which a payment gives an amount back to the one that it came from, `giver`, once for a key; the rests go
    down."""
    own = await book.company_of(act)
    to = (await _unearned(act, [giver["id"]]))[giver["id"]]
    back, given = both(amount, rests, to, own.currency)
    # Neither is of the payment that it is about: that is received with all that it ever took over.
    sources = ("Payment", giver["id"]), ("Payment", payment["id"])
    name = f"taken back {payment['id']} {key}"
    return _returning(back, given, payment["customer_id"], giver["customer_id"], *sources, on, name)


async def _unearned(act: Act, payment_ids: Collection[UUID]) -> dict[UUID, Rest]:
    """What is not allocated of payments, locked."""
    found = await act.tx.connection.fetch(HELD, sorted(payment_ids))
    first = {row["payment_id"]: row["id"] for row in found if row["purpose"] == Purpose.UNEARNED}
    rests = await items.lock(act, set(first.values()))
    return {payment_id: rests[id] for payment_id, id in first.items()}


async def restore(act: Act, source: Document) -> None:
    """Passes on again what was brought back for a document, and settles what it settled, as far as that is still owed."""
    found = await act.tx.connection.fetch(TAKEN_BACK_FOR, source[1], source[0])
    if not found:
        return
    own = await book.company_of(act)
    day = max([act.today, *(row["effective_on"] for row in found)])
    entries = await book.reversals(act, {row["id"]: day for row in found}, kind=GIVEN)
    undone = await refundable.undone_for(act, sorted({row["owner_id"] for row in found}), source[1])
    moved = {
        account.item_id
        for each in entries
        for posting in each.postings
        for account in (posting.source, posting.target)
        if account.item_id is not None
    }
    rests = await items.lock(act, moved | refundable.items_of(undone))
    items.move(rests, [posting for each in entries for posting in each.postings])
    made = refundable.restore(undone, rests, source=source, on=day, base_currency=own.currency)
    await outbox.record_many(act.tx, act.viewer, await allocations.post(act, list(made), before=entries))


def refuse_passed_on(payment: Row, verb: str) -> None:
    """Raises `IllegalTransition` for a payment whose money came from another one's: it goes back by way of that."""
    if payment["paid_from_id"] is not None:
        raise IllegalTransition(ELSEWHERE.format(verb), field="paymentId")

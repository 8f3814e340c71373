"""Payouts: what payment providers pay into our bank, expected, paid, failed; and what lines of the bank's statements say of them.

Always holds: a paid one has left what lies at the provider and reached the bank, in the company's own books; one that failed has not.
Whether its parts add up is what reconciliation asks.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from datetime import datetime
from decimal import Decimal
from typing import Any
from uuid import UUID

from crmgql import access
from crmgql.errors import BadUserInput
from crmgql.events import outbox
from crmgql.events.canonical import as_json
from crmgql.ledger import book, periods, rates
from crmgql.ledger.accounts import Account
from crmgql.ledger.postings import Entry, Posting
from crmgql.models import Payout, Purpose
from crmgql.records import checks, money, records
from crmgql.records.columns import ORIGIN, takes
from crmgql.records.days import day_of
from crmgql.records.money import Money
from crmgql.records.moves import Move, Moves
from crmgql.records.records import Act, Row

CONFLICTS = {
    "payouts_reference": ("reference", "This provider's payout is recorded already."),
}
MOVES = Moves(
    Payout,
    receive=Move({"EXPECTED"}, "PAID", "payout.paid", "paid_at"),
    fail=Move({"EXPECTED", "PAID"}, "FAILED", "payout.failed"),
    release=Move({"PAID"}, "EXPECTED", "payout.released"),
)
# Parameters: payouts, the company. What was posted of each when it was paid, and whether that was taken back.
POSTED = """
SELECT e.source_id, e.id, e.effective_on, back.id IS NULL AS stands
FROM ledger_entries e LEFT JOIN ledger_entries back ON back.owner_id = e.owner_id AND back.reverses_id = e.id
WHERE e.source_id = ANY ($1) AND e.owner_id = $2 AND e.source_type = 'Payout' AND e.kind = 'payout.paid'"""
ARRIVE = """
UPDATE payouts p SET status = 'PAID', status_reason = NULL, paid_at = g.paid_at, version = version + 1, updated_at = $2
FROM jsonb_to_recordset($1::jsonb) AS g(id uuid, paid_at timestamptz) WHERE p.id = g.id AND p.status = 'EXPECTED' RETURNING p.*"""


@takes(Payout, "arrives_on fees_booked", ORIGIN)
async def record(
    act: Act,
    *,
    provider: str,
    reference: str,
    net: Money,
    gross: Money | None = None,
    refunds: Money | None = None,
    fees: Money | None = None,
    reserve: Money | None = None,
    pending: bool | None = None,
    paid_at: datetime | None = None,
    **more: Any,
) -> UUID:
    """Records a payout that arrived or, if `pending`, is expected. `net` and `reserve` may be less than 0; `reserve` is what the provider
    keeps back, as a minus, or gives free.

    `more`: `fees_booked`, off if the fees are in the books with no payment, …. Raises `BadUserInput`, `CurrencyMismatch`, `Conflict` for
    one that is recorded already, `RateMissing`, `PeriodClosed`.
    """
    access.require_write(act.viewer, "Payout")
    if pending and paid_at is not None:
        raise BadUserInput("A payout that is expected was not paid yet; leave one of the two out.", field="paidAt")
    checks.check_happened(paid_at, act.now, "paidAt")
    currency = net[1]
    parts = {"gross": gross, "refunds": refunds, "fees": fees}
    values: Row = {
        "provider": provider,
        "reference": reference,
        "currency": currency,
        "net_amount": _signed(net, currency, field="net"),
        "reserve_amount": None if reserve is None else _signed(reserve, currency, field="reserve"),
        **{
            f"{name}_amount": money.amount(each, currency, field=name)
            for name, each in parts.items()
            if each is not None
        },
        "status": "EXPECTED" if pending else "PAID",
        "paid_at": None if pending else paid_at or act.now,
        **more,
    }
    if not values["net_amount"]:
        raise BadUserInput("A payout of nothing is none.", field="net")
    if values.get("fees_booked") is False and not values.get("fees_amount"):
        raise BadUserInput("Fees that are not in the books yet are to be named.", field="fees")
    kind = "payout.expected" if pending else "payout.paid"
    payout = await records.create(act, Payout, values, kind=kind, conflicts=CONFLICTS, payload={"amount": net})
    if not pending:
        await _post(act, [payout])
    return payout["id"]  # type: ignore[no-any-return]


async def receive(act: Act, *, id: UUID, expected_version: int | None = None, paid_at: datetime | None = None) -> UUID:
    """It arrived at the bank. Raises `IllegalTransition`, `RateMissing`, `PeriodClosed`."""
    payout, move = await MOVES.lock(act, "receive", id, expected_version=expected_version)
    checks.check_happened(paid_at, act.now, "paidAt")
    await pay(act, payout, move.changes(paid_at or act.now))
    return id


async def pay(act: Act, payout: Row, changes: Row) -> None:
    """Posts a locked payout that was not paid."""
    after = await records.change(act, Payout, payout, changes, kind="payout.paid", payload=_payload(payout))
    await _post(act, [after])


async def arrive(act: Act, times: Mapping[UUID, datetime]) -> None:
    """Payouts, which are locked, reached the bank at these times: those that were expected are paid now; of the others that was said
    before. Set-based. Raises `RateMissing`, `PeriodClosed`."""
    if not times:
        return
    given = [{"id": id, "paid_at": at} for id, at in times.items()]
    rows = [dict(row) for row in await act.tx.connection.fetch(ARRIVE, as_json(given), act.now)]
    await outbox.record_many(act.tx, act.viewer, [_arrived(row) for row in rows])
    if rows:
        await _post(act, rows)


def _arrived(row: Row) -> outbox.Entry:
    changes = {"status": ("EXPECTED", "PAID"), "paid_at": (None, row["paid_at"])}
    return outbox.Entry(
        "payout.paid", ("Payout", row["id"]), None, changes, {"version": row["version"], **_payload(row)}
    )


async def release(act: Act, *, id: UUID) -> None:
    """It is expected again, as what was said to have brought it was something else: what was posted is taken back today, not before it was paid.

    Raises `IllegalTransition`, `PeriodClosed`.
    """
    payout, move = await MOVES.lock(act, "release", id)
    after = move.changes(act.now) | {"paid_at": None}
    await records.change(act, Payout, payout, after, kind=move.event, payload=_payload(payout))
    await _take_back(act, id, kind=move.event)


async def fail(act: Act, *, id: UUID, reason: str | None = None, expected_version: int | None = None) -> UUID:
    """It did not arrive, or the bank sent it back: what was posted is taken back today, not before it was paid. Raises `IllegalTransition`, `PeriodClosed`."""
    if reason is not None:
        checks.check_text(reason, "reason", longest=1000)
    payout, move = await MOVES.lock(act, "fail", id, expected_version=expected_version)
    after = move.changes(act.now) | {"status_reason": reason}
    await records.change(act, Payout, payout, after, kind=move.event, payload=_payload(payout))
    if payout["status"] == "PAID":
        await _take_back(act, id, kind=move.event)
    return id


async def _take_back(act: Act, id: UUID, *, kind: str) -> None:
    own = await book.company_of(act)
    rows = await act.tx.connection.fetch(POSTED, [id], own.id)
    days = {row["id"]: max(act.today, row["effective_on"]) for row in rows if row["stands"]}
    await book.post(act, await book.reversals(act, days, kind=kind, is_adjusting=periods.adjusts(act)))


def _signed(sent: Money, currency: str, *, field: str) -> Decimal:
    """An amount that may be less than 0."""
    exact = money.amount((abs(sent[0]), sent[1]), currency, field=field)
    return -exact if sent[0] < 0 else exact


def _payload(payout: Row) -> Row:
    return {"amount": (payout["net_amount"], payout["currency"])}


async def _post(act: Act, payouts: Sequence[Row]) -> None:
    """Posts what leaves the provider: to the bank, or from it; and the fees that are in the books with no payment."""
    own = await book.company_of(act)
    before = Counter(
        row["source_id"] for row in await act.tx.connection.fetch(POSTED, [each["id"] for each in payouts], own.id)
    )
    day = {each["id"]: day_of(each["paid_at"], own.zone) for each in payouts}
    on_days = await rates.on_days(act, {(each["currency"], day[each["id"]]) for each in payouts})
    entries = []
    for each in payouts:
        times, rate = before[each["id"]], on_days[each["currency"], day[each["id"]]].rate
        key = f"paid {each['id']}" + (f" {times + 1}" if times else "")
        source = ("Payout", each["id"])
        moved = _postings(each, rate, own.currency)
        entries.append(Entry("payout.paid", key, source, day[each["id"]], moved, is_adjusting=periods.adjusts(act)))
    await book.post(act, entries)


def _postings(payout: Row, rate: Decimal, base_currency: str) -> list[Posting]:
    currency, net = payout["currency"], payout["net_amount"]
    fees = None if payout["fees_booked"] else payout["fees_amount"]

    def moved(to: Purpose, amount: Decimal) -> Posting:
        base = rates.converted(amount, rate, base_currency)
        return Posting(Account(Purpose.CLEARING), Account(to), currency, amount, base)

    postings = [moved(Purpose.BANK, net) if net > 0 else moved(Purpose.BANK, -net).back]
    return [*postings, moved(Purpose.FEES, fees)] if fees else postings

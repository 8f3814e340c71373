"""Alerts about payments of contracts' plans: a job tells who sees to one before it is due, when it is overdue, and a manager when it
stays so.

Enters: the company's day. Leaves: marks on the payments, events of their contracts, notifications. Always holds: each payment is told of
once for each of the stages, however often the job runs, and never once it has come in. After downtime what has become overdue
meanwhile is told of as overdue, and no more as what will be due. Set-based: the same number of statements for one payment and for hundreds.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import date
from typing import Any
from uuid import UUID

from crmgql.domain.messages import notifications
from crmgql.domain.messages.notifications import Notice
from crmgql.domain.money.pdf import words
from crmgql.domain.people import users
from crmgql.events import outbox
from crmgql.records import money
from crmgql.records.records import Act

ESCALATED_AFTER = 7
"""Days: what is overdue for longer, a manager is told of."""

Place = tuple[date, UUID]
"""A payment's day and id, in the order of which they are told of."""

FIRST: Place = date.min, UUID(int=0)

# Parameters: the day, the day and id behind which, how many. A draft is not agreed yet, and a terminated contract not any more.
DUE = """
SELECT p.id, p.customer_id, p.contract_id, p.n, p.due_on, p.currency, s.outstanding AS amount, p.owner_id, c.owner_id AS contract_owner_id,
    c.number, c.title, c.version, customers.name AS customer, companies.locale
FROM contract_payments p JOIN contracts c ON c.customer_id = p.customer_id AND c.id = p.contract_id
    JOIN contract_payment_standings s ON s.customer_id = p.customer_id AND s.id = p.id
    JOIN customers ON customers.id = p.customer_id CROSS JOIN companies
WHERE {condition} AND (p.due_on, p.id) > ($2, $3) AND p.{column} IS NULL AND c.status IN ('ACTIVE', 'ENDED') AND s.outstanding > 0
ORDER BY p.due_on, p.id LIMIT $4 FOR NO KEY UPDATE OF p SKIP LOCKED"""
MARK = "UPDATE contract_payments SET {column} = $2 WHERE id = ANY ($1)"
ACTIVE = "SELECT id FROM users WHERE active AND id = ANY ($1)"


@dataclass(frozen=True, slots=True)
class Stage:
    """Where a payment has come to. `title`: what somebody is told, in English and Chinese; `threshold`: who, of what is overdue."""

    name: str
    condition: str
    kind: str
    title: tuple[str, str]
    threshold: str | None = None

    @property
    def column(self) -> str:
        """When somebody was told."""
        return f"{self.name}_at"

    @property
    def due(self) -> str:
        return DUE.format(condition=self.condition, column=self.column)


REMINDER = Stage(
    "reminded",
    "p.due_on >= $1 AND p.due_on - p.reminder_days <= $1",
    "contract.paymentDue",
    ("Soon due: {customer}, {number}", "即将到期：{customer}，{number}"),
)
ALERT = Stage(
    "alerted",
    "p.due_on < $1",
    "contract.paymentOverdue",
    ("Overdue: {customer}, {number}", "已逾期：{customer}，{number}"),
    "OWNER",
)
ESCALATION = Stage(
    "escalated",
    f"p.due_on < $1::date - {ESCALATED_AFTER}",
    "contract.paymentOverdue",
    ("Still overdue: {customer}, {number}", "仍未付款：{customer}，{number}"),
    "MANAGER",
)
STAGES = (REMINDER, ALERT, ESCALATION)
BODY = (
    "Of payment {n} of the contract “{title}”, {currency} {amount} is open, due on {due}.",
    "合同“{title}”第 {n} 期付款：未付 {currency} {amount}，到期日 {due}。",
)


@dataclass(frozen=True, slots=True)
class Told:
    """How many, and the day and id of the last one; none: that was all."""

    count: int
    last: Place | None


async def tell(act: Act, stage: Stage, *, after: Place = FIRST, limit: int) -> Told:
    """Tells of payments behind a day and id that have come to the stage, up to so many. What is paid is passed once by whoever goes on
    from the last one; what another run holds is left to that."""
    rows = await act.tx.connection.fetch(stage.due, act.today, *after, limit)
    if not rows:
        return Told(0, None)
    await act.tx.connection.execute(MARK.format(column=stage.column), [row["id"] for row in rows], act.now)
    await outbox.record_many(act.tx, act.viewer, [_entry(stage, row) for row in rows])
    receivers = await _receivers(act, stage, rows)
    notices = [_notice(stage, row, person) for row in rows for person in receivers[row["id"]]]
    await notifications.notify_many(act, notices)
    return Told(len(rows), (rows[-1]["due_on"], rows[-1]["id"]))


async def _receivers(act: Act, stage: Stage, rows: Sequence[Mapping[str, Any]]) -> dict[UUID, Sequence[UUID]]:
    """By payment who is told: its owner, else the contract's; when it is late, or where neither is there, the next manager above; the
    administrators if there is none."""
    named = {row["id"]: [each for each in (row["owner_id"], row["contract_owner_id"]) if each] for row in rows}
    everybody = sorted({each for owners in named.values() for each in owners})
    active = {row["id"] for row in await act.tx.connection.fetch(ACTIVE, everybody)}
    managers = await users.managers_above(act, everybody)
    administrators = await users.administrators(act)
    found: dict[UUID, Sequence[UUID]] = {}
    for id, owners in named.items():
        own = [each for each in owners if each in active] if stage is not ESCALATION else []
        above = [managers[each] for each in owners if each in managers]
        found[id] = own[:1] or above[:1] or administrators
    return found


def _entry(stage: Stage, row: Mapping[str, Any]) -> outbox.Entry:
    payload = {
        "version": row["version"],
        "payment_id": row["id"],
        "due_on": row["due_on"],
        "amount": (money.rounded(row["amount"], row["currency"]), row["currency"]),
    }
    if stage.threshold is not None:
        payload["threshold"] = stage.threshold
    return outbox.Entry(stage.kind, ("Contract", row["contract_id"]), row["customer_id"], {}, payload)


def _notice(stage: Stage, row: Mapping[str, Any], user_id: UUID) -> Notice:
    """In the company's language, as far as it is one of the two."""
    say = words.of(row["locale"])
    facts = {
        **{name: row[name] for name in ("n", "number", "title", "customer", "currency")},
        "amount": say.amount(row["amount"], row["currency"]),
        "due": say.day(row["due_on"]),
    }
    title, body = (text[say.column].format(**facts) for text in (stage.title, BODY))
    key = f"plan:{row['id']}:{stage.name}"
    return Notice(user_id, stage.kind, title, body, key, customer_id=row["customer_id"])

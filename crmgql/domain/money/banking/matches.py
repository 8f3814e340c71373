"""Open lines are matched: what is certain is booked, of the others is kept what they may be.

Reading, working out and booking are steps of their own: nothing is locked while it is worked out, which a thread does, and what
changed meanwhile is seen when it is booked.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Sequence
from contextlib import AbstractAsyncContextManager
from dataclasses import dataclass
from uuid import UUID

from crmgql.domain.money.banking import booking, candidates, findings
from crmgql.domain.money.banking.booking import Choice
from crmgql.domain.money.banking.findings import Finding, Found
from crmgql.events.canonical import as_json
from crmgql.records import records
from crmgql.records.records import Act, Row

AT_ONCE = 500
FIRST = UUID(int=0)
# Parameters: lines, suggestions, now. Of lines that were booked meanwhile nothing is kept.
KEEP = """
WITH open AS (
    SELECT id FROM bank_lines WHERE id = ANY ($1) AND status = 'OPEN' ORDER BY id FOR NO KEY UPDATE
), kept AS (
    INSERT INTO bank_suggestions (line_id, n, certainty, basis, reasons, labels, currency, amount, rest_amount, short_amount,
        customer_id, order_id, invoice_id, payment_id, refund_id, payout_id, item_ids, created_at)
    SELECT g.line_id, g.n, g.certainty, g.basis, g.reasons, g.labels, g.currency, g.amount, g.rest_amount, g.short_amount, g.customer_id,
        g.order_id, g.invoice_id, g.payment_id, g.refund_id, g.payout_id, g.item_ids, $3
    FROM open JOIN jsonb_to_recordset($2::jsonb) AS g(line_id uuid, n integer, certainty text, basis text, reasons text[], labels text[],
        currency text, amount numeric, rest_amount numeric, short_amount numeric, customer_id uuid, order_id uuid, invoice_id uuid,
        payment_id uuid, refund_id uuid, payout_id uuid, item_ids uuid[]) ON g.line_id = open.id
    ORDER BY g.line_id, g.n
)
SELECT count(*) FROM open"""
DROP = "DELETE FROM bank_suggestions WHERE line_id = ANY ($1)"

Step = Callable[[], AbstractAsyncContextManager[Act]]
"""Opens a transaction; it is committed at its end."""


@dataclass(slots=True)
class Outcome:
    """How many lines were booked, and of how many others something is suggested."""

    lines: int = 0
    booked: int = 0
    suggested: int = 0


async def match(step: Step) -> Outcome:
    """Matches all lines that are open. Whoever repeats it books nothing twice."""
    outcome, after = Outcome(), FIRST
    while True:
        async with step() as act:
            await records.allow_long_statements(act)
            given = await candidates.read(act, after=after)
        if not given.lines:
            return outcome
        found = await asyncio.to_thread(findings.find, given)
        for first in range(0, len(found), AT_ONCE):
            some = found[first : first + AT_ONCE]
            choices = [_choice(each.line, each.certain) for each in some if each.certain]
            if choices:
                async with step() as act:
                    await records.allow_long_statements(act)
                    outcome.booked += await booking.book_many(act, choices)
            async with step() as act:
                outcome.suggested += await _keep(act, some)
        outcome.lines += len(found)
        after = given.lines[-1]["id"]


async def _keep(act: Act, found: Sequence[Finding]) -> int:
    """Keeps what lines that are open may be; of how many that is something."""
    await act.tx.connection.execute(DROP, [each.line["id"] for each in found])
    rows = [_row(each.line, n, one) for each in found for n, one in enumerate(each.found, 1)]
    if not rows:
        return 0
    ids = sorted({row["line_id"] for row in rows})
    return await act.tx.connection.fetchval(KEEP, ids, as_json(rows), act.now)  # type: ignore[no-any-return]


def _choice(line: Row, found: Found) -> Choice:
    amounts = {each.item_id: each.amount for each in found.suggestion.plan.allocations} if found.item_ids else None
    ids = (found.order_id, found.invoice_id, found.payment_id, found.refund_id, found.payout_id)
    return Choice(line["id"], found.customer_id, *ids, amounts=amounts)


def _row(line: Row, n: int, found: Found) -> Row:
    plan = found.suggestion.plan
    return {
        "line_id": line["id"],
        "n": n,
        "certainty": found.certainty,
        "basis": found.suggestion.basis,
        "reasons": found.suggestion.reasons,
        "labels": found.labels,
        "currency": line["currency"],
        "amount": abs(line["amount"]) - plan.rest,
        "rest_amount": plan.rest + 0 * line["amount"],
        "short_amount": plan.short + 0 * line["amount"],
        "customer_id": found.customer_id,
        "order_id": found.order_id,
        "invoice_id": found.invoice_id,
        "payment_id": found.payment_id,
        "refund_id": found.refund_id,
        "payout_id": found.payout_id,
        "item_ids": found.item_ids,
    }

"""What providers keep for themselves: taken out of what lies at the provider, each once.

CLEARING → FEES, and back when a fee is given back
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace

from crmgql.domain.money.hooks.bookings import NOT_RECEIVED, Outcome, Outcomes, done, noted, waits
from crmgql.domain.money.providers.facts import Fact
from crmgql.domain.money.providers.order import Subject
from crmgql.ledger import book, periods, rates
from crmgql.ledger.accounts import Account
from crmgql.ledger.postings import Entry, Posting
from crmgql.models import Purpose
from crmgql.records.days import day_of
from crmgql.records.records import Act, Row


async def book_all(act: Act, standing: Mapping[Subject, Fact], payments: Sequence[Row]) -> Outcomes:
    """Posts the fees among the facts that stand, for the first of the payments that are received. Raises `PeriodClosed`, `RateMissing`."""
    found = {subject: each for subject, each in standing.items() if subject[0] == "FEE"}
    if not payments:
        return {subject: waits(NOT_RECEIVED) for subject in found}
    payment = payments[0]
    own = await book.company_of(act)
    days = {subject: day_of(each.occurred_at, own.zone) for subject, each in found.items()}
    on_days = await rates.on_days(act, {(each.currency or "", days[subject]) for subject, each in found.items()})
    outcomes: dict[Subject, Outcome] = {}
    entries = []
    for subject, each in sorted(found.items()):
        if not each.amount or each.currency is None:
            outcomes[subject] = noted("The fee is nothing.", payment)
            continue
        base = rates.converted(abs(each.amount), on_days[each.currency, days[subject]].rate, own.currency)
        posting = Posting(Account(Purpose.CLEARING), Account(Purpose.FEES), each.currency, abs(each.amount), base)
        entry = Entry(
            "payment.fee",
            f"fee {payment['id']} {each.part}",
            ("Payment", payment["id"]),
            days[subject],
            [posting if each.amount > 0 else posting.back],
            customer_id=payment["customer_id"],
        )
        entries.append(replace(entry, is_adjusting=periods.adjusts(act)))
        outcomes[subject] = done(payment)
    await book.post(act, entries)
    return outcomes

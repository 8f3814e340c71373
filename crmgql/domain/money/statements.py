"""A customer's statement of account as it is printed: from the books, under the viewer's rules, to facts.

Enters: a customer, days, a currency and, for one that is printed again, the time of the first. Leaves: a `Paper`. Always holds: it is what
`customerStatement` says, with what is open by how long it is due on the last day.
"""

from __future__ import annotations

from datetime import UTC, date, datetime, time
from decimal import Decimal
from uuid import UUID

from crmgql.db import Connection
from crmgql.domain.money import papers, receivables
from crmgql.domain.money.invoices import PARTIES
from crmgql.domain.money.papers import Paper
from crmgql.domain.money.pdf import words
from crmgql.domain.money.pdf.documents import Account, Ageing, Entry
from crmgql.domain.money.pdf.words import Words
from crmgql.records.records import Row
from crmgql.viewer import Viewer

LANGUAGE = "SELECT c.language, companies.locale FROM customers c CROSS JOIN companies WHERE c.id = $1"
OTHER = ("Booking", "记账")
TEXTS = {
    "order.confirmed": ("Order", "订单"),
    "order.changed": ("Order changed", "订单变更"),
    "order.cancelled": ("Order cancelled", "订单取消"),
    "order.writtenOff": ("Written off", "核销"),
    "order.writeOffUndone": ("Write-off undone", "撤销核销"),
    "invoice.issued": ("Invoice", "账单"),
    "creditNote.issued": ("Credit note", "贷项通知单"),
    "payment.received": ("Payment", "收款"),
    "payment.allocated": ("Exchanged", "货币兑换"),
    "payment.unallocated": ("Exchange undone", "撤销货币兑换"),
    "credit.allocated": ("Exchanged", "货币兑换"),
    "refund.succeeded": ("Refund", "退款"),
    "refund.failed": ("Refund failed", "退款失败"),
    "dispute.lost": ("Charged back", "拒付"),
}
"""What happened, in English and Chinese, by the kind of the entry. Kinds that move nothing of what is owed in a currency are not here."""


async def paper(
    connection: Connection,
    viewer: Viewer,
    *,
    customer_id: UUID,
    since: date,
    until: date,
    currency: str | None = None,
    known_at: datetime | None = None,
) -> Paper:
    """The statement of the days from `since` to `until`, in the customer's language; in its own currency unless one is named.

    Raises as `receivables.account`.
    """
    account = await receivables.account(
        connection,
        viewer,
        customer_id=customer_id,
        since=since,
        until=until,
        currency=currency,
        known_at=known_at,
    )
    parties = await connection.fetchrow(PARTIES, customer_id)
    spoken = await connection.fetchrow(LANGUAGE, customer_id)
    locale = papers.locale_of(spoken["language"], spoken["locale"])
    given: Row = {"customer_id": customer_id, "as_of": until, "currency": account["currency"], "known_at": known_at}
    open_ = await receivables.open_by_age(connection, viewer, **given)
    say = words.of(locale)
    document = Account(
        account["currency"],
        since,
        until,
        papers.issuer(parties),
        papers.recipient(parties),
        account["opening"]["amount"],
        tuple(_entry(each, say) for each in account["movements"]),
        Ageing(*open_),
    )
    return Paper(document, locale, datetime.combine(until, time(), UTC))


def closing(account: Account) -> Decimal:
    """What the customer owes on the last day."""
    return sum((each.debit - each.credit for each in account.entries), account.opening)


def _entry(movement: Row, say: Words) -> Entry:
    amount = movement["amount"]["amount"]
    nothing = amount * 0
    return Entry(
        movement["day"],
        TEXTS.get(movement["kind"], OTHER)[say.column],
        movement["documentName"] or "",
        debit=max(amount, nothing),
        credit=max(-amount, nothing),
    )

"""What a credit note takes back of an invoice: net and tax, and from where. Pure.

Always holds: credit notes of an invoice, in any order, come to no more than the invoice, in net and in tax; the last one takes
all that is left, to the cent.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from decimal import Decimal, localcontext
from uuid import UUID

from crmgql.errors import CreditExceedsInvoiced
from crmgql.ledger.items import Rest
from crmgql.ledger.postings import EXACT
from crmgql.records import money
from crmgql.records.records import Row


@dataclass(frozen=True, slots=True)
class Credit:
    """Net and tax, of an invoice or of what is taken back of it."""

    net: Decimal
    tax: Decimal

    @property
    def total(self) -> Decimal:
        return self.net + self.tax


@dataclass(frozen=True, slots=True)
class Invoiced:
    """An invoice, and what is left of it."""

    whole: Credit
    rest: Credit
    currency: str

    def of_net(self, net: Decimal, *, field: str) -> Credit:
        """Takes a net amount back, with tax at the invoice's own rate. Raises `CreditExceedsInvoiced`."""
        if net > self.rest.net:
            raise _exceeds(f"{self.rest.net} {self.currency} without tax", field)
        if net == self.rest.net:
            return self.rest
        return Credit(net, min(self._rounded(net, self.whole.net), self.rest.tax))

    def of_total(self, total: Decimal, *, field: str) -> Credit:
        """Takes an amount back that has its tax in it. Raises `CreditExceedsInvoiced`."""
        if total > self.rest.total:
            raise _exceeds(f"{self.rest.total} {self.currency}", field)
        if total == self.rest.total:
            return self.rest
        net = min(total - min(self._rounded(total, self.whole.total), self.rest.tax), self.rest.net)
        return Credit(net, total - net)

    def _rounded(self, part: Decimal, whole: Decimal) -> Decimal:
        with localcontext(EXACT):
            return money.rounded(self.whole.tax * part / whole, self.currency)


@dataclass(slots=True)
class Owed:
    """A receivable of the invoice, or of its order: of that the invoice has at most `most`, and what is not invoiced, `kept`, is
    none of it. `reserved` of it is written off again."""

    rest: Rest
    most: Decimal
    kept: Decimal
    reserved: Decimal = Decimal(0)

    @property
    def room(self) -> Decimal:
        """What a credit note may take."""
        return self.with_more(Decimal(0)) - self.reserved

    def with_more(self, back: Decimal) -> Decimal:
        """What of it would be the invoice's if so much more were owed."""
        return max(min(self.most, self.rest.free + back - self.kept), self.kept * 0)


def unwritten(short: Decimal, owed: Mapping[UUID, Owed], standing: Sequence[Row]) -> Iterator[tuple[Row, Decimal]]:
    """The write-offs, in their order, that are undone until what is short is covered, each with what of it stays written off.

    `owed`, by item, reserves what of the invoice's is not needed.
    """
    back: dict[UUID, Decimal] = {}
    for row in standing:
        each, before = owed[row["item_id"]], back.get(row["item_id"], Decimal(0))
        gain = each.with_more(before + row["amount"]) - each.with_more(before)
        needed = min(gain, short)
        if needed > 0:
            back[row["item_id"]] = before + row["amount"]
            short -= needed
            each.reserved += gain - needed
            yield row, row["amount"] - needed


def _exceeds(left: str, field: str) -> CreditExceedsInvoiced:
    return CreditExceedsInvoiced(f"Of the invoice {left} is left to credit, and no more.", field=field)


def deferred(parts: Sequence[Credit], amount: Decimal) -> Iterator[Decimal]:
    """An amount that is no revenue yet, over the net of the parts, in their order."""
    for part in parts:
        taken = min(part.net, amount)
        amount -= taken
        yield taken


def spread(credit: Credit, owed: Sequence[Decimal]) -> Iterator[Credit]:
    """The credit by what it is taken from: what is owed of each instalment, in their order, and last what was paid. Each part is
    net as far as there is any, then tax; one may be nothing."""
    net, tax = credit.net, credit.tax
    for limit in (*owed, credit.total):
        of_net = min(net, limit)
        of_tax = min(tax, limit - of_net)
        net, tax = net - of_net, tax - of_tax
        yield Credit(of_net, of_tax)

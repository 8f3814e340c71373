"""An order in one currency that is paid in another: how much of each, and how its parts are posted. Pure.

Amounts go over EXCHANGE, which gives the same base amount in one currency as it takes in the other, so it is 0 after each entry.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from decimal import Decimal, localcontext

from crmgql.errors import BadUserInput
from crmgql.ledger.accounts import Account
from crmgql.ledger.items import Rest
from crmgql.ledger.postings import EXACT, Posting, share
from crmgql.ledger.rates import Rate
from crmgql.models import Purpose
from crmgql.records import money

EXCHANGE = Account(Purpose.EXCHANGE)


@dataclass(frozen=True, slots=True)
class Pair:
    """What a payment gives, in its currency, and what that settles of an order, in the order's."""

    paid: Decimal
    owed: Decimal


@dataclass(frozen=True, slots=True)
class Cross:
    """The rates of a payment's and an order's currency, both into the base currency."""

    paid: tuple[str, Rate]
    owed: tuple[str, Rate]

    def to_owed(self, amount: Decimal) -> Decimal:
        return _exchanged(amount, self.paid[1], *self.owed)

    def to_paid(self, amount: Decimal) -> Decimal:
        return _exchanged(amount, self.owed[1], *self.paid)


def _exchanged(amount: Decimal, rate: Rate, currency: str, into: Rate) -> Decimal:
    with localcontext(EXACT):
        return money.rounded(amount * rate.rate / into.rate, currency)


def fitting(cross: Cross, left: Decimal, open_: Decimal, *, paid: Decimal | None, owed: Decimal | None) -> Pair:
    """The amounts at the rates, of which at most one is given; without one it is as much as fits of what is left and open.

    What is worth exactly the rest of the other side, after rounding, takes all of it. Raises `BadUserInput` if it is worth nothing.
    """
    if paid is None and owed is None:
        paid, owed = (None, open_) if cross.to_paid(open_) <= left else (left, None)
    if owed is None:
        assert paid is not None
        pair = Pair(paid, open_ if paid == cross.to_paid(open_) else cross.to_owed(paid))
    else:
        pair = Pair(left if owed == cross.to_owed(left) else cross.to_paid(owed), owed)
    for amount, currency in ((pair.paid, cross.paid[0]), (pair.owed, cross.owed[0])):
        if not amount:
            raise BadUserInput(f"It is worth less than the smallest amount in {currency}.", field="amount")
        money.check_size(amount, field="amount")
    return pair


def parts(pair: Pair, paid: Sequence[Rest], owed: Sequence[Rest]) -> Iterator[tuple[int, int, Pair]]:
    """Which rest of the payment settles which of the order, by how much; in their order, and all together the pair.

    Both sides have room for it. Each part is in proportion, the last takes what is left. Raises `BadUserInput` where the smallest
    amount of a currency would have to be split.
    """
    rest, i, j = pair, 0, 0
    room = [each.free for each in paid], [each.free for each in owed]
    while rest.paid:
        most = Pair(min(rest.paid, room[0][i]), min(rest.owed, room[1][j]))
        part = within(rest, most, paid[i].currency, owed[j].currency)
        yield i, j, part
        rest = Pair(rest.paid - part.paid, rest.owed - part.owed)
        room[0][i] -= part.paid
        room[1][j] -= part.owed
        i += not room[0][i]
        j += not room[1][j]


def within(rest: Pair, most: Pair, paid_currency: str, owed_currency: str) -> Pair:
    """As much of the rest as there is room for, at the rest's own rate; it leaves something of both amounts, or nothing.

    Raises `BadUserInput` where the smallest amount of a currency would have to be split.
    """
    if most == rest:
        return rest
    with localcontext(EXACT):
        if rest.owed * most.paid <= most.owed * rest.paid:
            return Pair(most.paid, _within(rest.owed * most.paid / rest.paid, rest.owed, owed_currency))
        return Pair(_within(rest.paid * most.owed / rest.owed, rest.paid, paid_currency), most.owed)


def _within(value: Decimal, rest: Decimal, currency: str) -> Decimal:
    """The value, rounded so that it is something and leaves something of the rest."""
    unit = Decimal(1).scaleb(-money.scale(currency))
    if rest <= unit:
        raise BadUserInput(f"{rest} {currency} can't be split over what is left and open.", field="amount")
    return max(unit, min(rest - unit, money.rounded(value, currency)))


def exchanged(part: Pair, paid: Rest, owed: Rest, base_currency: str) -> Iterator[Posting]:
    """Takes the part from money or credit in one currency and from a receivable in another, both of which it changes.

    Each side gives its share of its base amount; the difference is a gain or a loss.
    """
    of_paid = share(part.paid, paid.open, paid.base, base_currency)
    of_owed = share(part.owed, owed.open, owed.base, base_currency)
    yield Posting(EXCHANGE, paid.account, paid.currency, part.paid, of_paid)
    yield Posting(owed.account, EXCHANGE, owed.currency, part.owed, of_owed)
    nothing = part.owed * 0
    if of_paid > of_owed:
        yield Posting(Account(Purpose.FX_GAIN), EXCHANGE, owed.currency, nothing, of_paid - of_owed)
    elif of_owed > of_paid:
        yield Posting(EXCHANGE, Account(Purpose.FX_LOSS), owed.currency, nothing, of_owed - of_paid)
    for side, amount, base in ((paid, part.paid, of_paid), (owed, part.owed, of_owed)):
        side.open, side.free, side.base = side.open - amount, side.free - amount, side.base - base

"""An amount that settles a part of what is owed: the postings, with the difference of rates. Pure."""

from __future__ import annotations

from collections.abc import Iterator
from decimal import Decimal

from crmgql.ledger.accounts import Account
from crmgql.ledger.items import Rest
from crmgql.ledger.postings import Posting, share
from crmgql.models import Purpose


def allocated(amount: Decimal, owed: Rest, paid: Rest, base_currency: str) -> Iterator[Posting]:
    """Takes the amount from a receivable and from money or credit in the same currency, both of which it changes.

    Each side gives its share of its base amount; where they differ, the rate moved in between, and the difference is a gain
    or a loss. `amount` is at most what is free on both.
    """
    of_owed = share(amount, owed.open, owed.base, base_currency)
    of_paid = share(amount, paid.open, paid.base, base_currency)
    yield Posting(owed.account, paid.account, owed.currency, amount, min(of_owed, of_paid))
    nothing = amount * 0
    if of_paid > of_owed:
        yield Posting(Account(Purpose.FX_GAIN), paid.account, owed.currency, nothing, of_paid - of_owed)
    elif of_owed > of_paid:
        yield Posting(owed.account, Account(Purpose.FX_LOSS), owed.currency, nothing, of_owed - of_paid)
    for side, base in ((owed, of_owed), (paid, of_paid)):
        side.open, side.free, side.base = side.open - amount, side.free - amount, side.base - base

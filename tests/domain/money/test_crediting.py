"""Credit notes in figures: in any order they come to the invoice, to the cent, and never to more."""

from __future__ import annotations

from decimal import Decimal

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from crmgql.domain.money.crediting import Credit, Invoiced, spread
from crmgql.errors import CreditExceedsInvoiced

CENT = Decimal("0.01")


def cents(low: int, high: int) -> st.SearchStrategy[Decimal]:
    return st.integers(low, high).map(lambda number: number * CENT)


def test_the_last_credit_note_takes_the_rest() -> None:
    """The case of docs/ledger.md: four lines, each rounded, would come to a cent more than the invoice."""
    whole = Credit(Decimal("279.16"), Decimal("55.83"))
    rest, made = whole, []
    for net in ("68.33", "57.50", "85.00", "68.33"):
        credit = Invoiced(whole, rest, "EUR").of_net(Decimal(net), field="lines")
        rest = Credit(rest.net - credit.net, rest.tax - credit.tax)
        made.append((str(credit.tax), str(credit.total)))
    assert made == [("13.67", "82.00"), ("11.50", "69.00"), ("17.00", "102.00"), ("13.66", "81.99")]
    for of in (Invoiced(whole, rest, "EUR").of_net, Invoiced(whole, rest, "EUR").of_total):
        with pytest.raises(CreditExceedsInvoiced):
            of(CENT, field="amount")


@given(cents(1, 5000), cents(0, 1000), st.lists(st.tuples(st.booleans(), st.integers(1, 100)), max_size=12))
@settings(max_examples=60, deadline=None)
def test_in_any_order_they_come_to_no_more_than_the_invoice(
    net: Decimal, tax: Decimal, steps: list[tuple[bool, int]]
) -> None:
    whole = rest = Credit(net, tax)
    for by_net, per_cent in [*steps, (False, 100)]:
        left = rest.net if by_net else rest.total
        part = max((left * per_cent / 100).quantize(CENT), min(CENT, left))
        if part == 0:
            continue
        invoiced = Invoiced(whole, rest, "EUR")
        credit = invoiced.of_net(part, field="x") if by_net else invoiced.of_total(part, field="x")
        assert (credit.net if by_net else credit.total) == part
        assert credit.tax >= 0
        assert credit.net >= 0
        rest = Credit(rest.net - credit.net, rest.tax - credit.tax)
        assert rest.net >= 0
        assert rest.tax >= 0
    assert rest.total == 0


@given(cents(0, 500), cents(0, 500), st.lists(cents(1, 300), max_size=5))
@settings(max_examples=60, deadline=None)
def test_a_credit_is_spread_over_what_is_owed_and_the_rest_was_paid(
    net: Decimal, tax: Decimal, owed: list[Decimal]
) -> None:
    parts = list(spread(Credit(net, tax), owed))
    assert (sum(part.net for part in parts), sum(part.tax for part in parts)) == (net, tax)
    assert all(part.total <= limit for part, limit in zip(parts, owed, strict=False))
    assert parts[-1].total == max(net + tax - sum(owed), Decimal(0))

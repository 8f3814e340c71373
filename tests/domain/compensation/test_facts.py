"""Facts by random histories of an order: what they sum to, whatever came first, and nothing where all is taken back."""

from __future__ import annotations

from decimal import Decimal
from uuid import UUID

from hypothesis import given
from hypothesis import strategies as st

from crmgql.domain.compensation import facts
from crmgql.domain.compensation.facts import Allocated, Amounts, Credited, Document, Invoiced, Revision, State
from crmgql.models import CompMeasure

A, B, C = (UUID(int=n) for n in (1, 2, 3))
CURRENCIES = st.sampled_from(("USD", "JPY", "KWD"))
SCALES = {"USD": 2, "JPY": 0, "KWD": 3}


def amounts(net: str, shipping: str = "0", cost: str = "0") -> Amounts:
    return Amounts(Decimal(net), Decimal(shipping), Decimal(cost))


def total(state: State, measure: CompMeasure) -> Amounts:
    return sum((each for (of, _), each in state.items() if of is measure), Amounts())


@st.composite
def histories(draw: st.DrawFn) -> tuple[str, Revision, list[Document]]:
    """An order, what of it is invoiced, credited and paid; no more of each than there is."""
    currency = draw(CURRENCIES)
    unit = Decimal(1).scaleb(-SCALES[currency])
    numbers = st.integers(0, 5000)
    lines = {id: Amounts(*(draw(numbers) * unit for _ in range(3))) for id in (A, B, C)[: draw(st.integers(1, 3))]}
    tax = draw(numbers) * unit
    gross = sum((each.gross for each in lines.values()), Decimal(0))
    order = Revision(1, lines, gross + tax)
    documents: list[Document] = [order]
    credited = Decimal(0)
    for id, each in lines.items():
        if draw(st.booleans()):
            documents.append(Invoiced({id: Amounts(each.net, each.shipping)}))
            back = draw(st.integers(0, int(each.gross / unit))) * unit
            if back and draw(st.booleans()):
                documents.append(Credited({id: back}, back))
                credited += back
    left = order.total - credited
    while left > 0 and draw(st.booleans()):
        part = draw(st.integers(1, int(left / unit))) * unit
        documents.append(Allocated(part))
        left -= part
    return currency, order, documents


@given(histories(), st.randoms(use_true_random=False))
def test_a_state_has_no_path(history: tuple[str, Revision, list[Document]], random: object) -> None:
    currency, _, documents = history
    other = list(documents)
    random.shuffle(other)  # type: ignore[attr-defined]
    assert facts.state(currency, documents) == facts.state(currency, other)
    summed: dict[tuple[CompMeasure, UUID], Amounts] = {}
    for change, _after in facts.changes(currency, [], other):
        for key, each in change.items():
            summed[key] = summed.get(key, Amounts()) + each
    assert {key: each for key, each in summed.items() if each} == facts.state(currency, documents)


@given(histories())
def test_what_is_paid_in_full_is_what_is_booked_and_undone_it_is_nothing(
    history: tuple[str, Revision, list[Document]],
) -> None:
    currency, order, documents = history
    owed = order.total - sum((each.total for each in documents if isinstance(each, Credited)), Decimal(0))
    paid = sum((each.amount for each in documents if isinstance(each, Allocated)), Decimal(0))
    full = facts.state(currency, [*documents, Allocated(owed - paid)])
    booked = {id: each for (of, id), each in full.items() if of is CompMeasure.BOOKED}
    collected = {id: each for (of, id), each in full.items() if of is CompMeasure.COLLECTED}
    assert collected == (booked if owed else {})
    undone = facts.state(currency, [*documents, Allocated(-paid)])
    assert total(undone, CompMeasure.COLLECTED) == Amounts()


@given(histories())
def test_nothing_is_below_zero_or_above_what_is_booked(history: tuple[str, Revision, list[Document]]) -> None:
    currency, order, documents = history
    state = facts.state(currency, documents)
    for (_, id), each in state.items():
        for name in ("net", "shipping", "cost"):
            assert 0 <= getattr(each, name) <= getattr(order.lines[id], name)


def test_credit_notes_take_their_line_with_its_shipping_and_cost() -> None:
    order = Revision(1, {A: amounts("90.00", "10.00", "45.00"), B: amounts("50.00")}, Decimal("150.00"))
    invoice = Invoiced({A: amounts("90.00", "10.00"), B: amounts("50.00")})
    half = facts.state("USD", [order, invoice, Credited({A: Decimal("50.00")}, Decimal("50.00"))])
    assert half[CompMeasure.BOOKED, A] == half[CompMeasure.INVOICED, A] == amounts("45.00", "5.00", "22.50")
    whole = facts.state("USD", [order, invoice, Credited({None: Decimal("150.00")}, Decimal("150.00"))])
    assert whole == {}


def test_money_for_what_was_credited_counts_for_what_is_left() -> None:
    order = Revision(1, {A: amounts("800.00"), B: amounts("200.00")}, Decimal("1000.00"))
    invoice = Invoiced({A: amounts("800.00"), B: amounts("200.00")})
    paid = [order, invoice, Allocated(Decimal("800.00"))]
    assert facts.state("USD", paid)[CompMeasure.COLLECTED, B] == amounts("160.00")
    credited = facts.state("USD", [*paid, Credited({B: Decimal("200.00")}, Decimal("200.00"))])
    assert {id: each for (of, id), each in credited.items() if of is CompMeasure.COLLECTED} == {A: amounts("800.00")}


def test_a_cancelled_order_has_nothing() -> None:
    order = Revision(1, {A: amounts("10.00")}, Decimal("10.00"))
    assert facts.state("USD", [order, Revision(2, {}, Decimal(0))]) == {}


def test_an_order_without_lines_has_one_of_its_own() -> None:
    whole = amounts("10.00", "1.00", "4.00")
    assert facts.booked({}, whole, "USD", otherwise=C) == {C: whole}
    thirds = {id: (Decimal(10), Decimal(0), Decimal(0)) for id in (A, B, C)}
    spread = facts.booked(thirds, whole, "USD", otherwise=C)
    assert [str(each.net) for each in spread.values()] == ["3.33", "3.34", "3.33"]
    assert spread[A].shipping == Decimal("1.00")

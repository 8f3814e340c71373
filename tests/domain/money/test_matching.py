"""Whose money it is: what is certain, what is likely, and that nothing is booked for a wrong one without a person."""

from __future__ import annotations

import random
import time
from dataclasses import replace
from datetime import date, timedelta
from decimal import Decimal
from typing import Any
from uuid import UUID

import pytest
from hypothesis import given
from hypothesis import strategies as st

from crmgql.domain.money import matching, references
from crmgql.domain.money.bank import camt
from crmgql.domain.money.matching import Basis, Book, Certainty, Customer, Match, Receipt
from crmgql.domain.money.plans import OpenItem
from tests.domain.money.statements import Entry, Part, file
from tests.speed import slowness

DAY = date(2026, 3, 1)
ACME, BOLT, CITY = (UUID(int=n) for n in (1, 2, 3))
CUSTOMERS = [
    Customer(ACME, "Acme GmbH", ("DE02 1203 0000 0000 2020 51",)),
    Customer(BOLT, "Bolt & Söhne Ltd", ("GB33BUKB20201555555555",)),
    Customer(CITY, "北京某某科技有限公司"),
]


def item(n: int, open: str, *names: str, customer: UUID = ACME, due: int = 0, currency: str = "EUR") -> OpenItem:
    due_on = DAY + timedelta(days=due)
    return OpenItem(UUID(int=n), customer, currency, Decimal(open), DAY, due_on, f"invoice {n}", names)


def match(amount: str, *items: OpenItem, text: str = "", tolerance: str = "0", **more: Any) -> Match:
    receipt = Receipt("r", DAY, Decimal(amount), more.pop("currency", "EUR"), (text,) if text else (), **more)
    return Book([replace(each, tolerance=Decimal(tolerance)) for each in items], CUSTOMERS).match(receipt)


def paid(found: Match) -> list[tuple[int, str]]:
    """What the first suggestion allocates."""
    return [(each.item_id.int, str(each.amount)) for each in found.suggestions[0].plan.allocations]


@pytest.mark.parametrize(
    "text",
    [
        "INV-2026-0007",
        "Rechnung inv 2026/0007 vom 1.3.",
        "INV2026-0007",
        "付款单号INV20260007谢谢",
        "ＩＮＶ－２０２６－０００７",
        "INV-2026-00 07",
    ],
)
def test_a_reference_is_found_however_it_is_written(text: str) -> None:
    assert references.find(text, {"INV20260007"}) == ["INV20260007"]


@pytest.mark.parametrize("text", ["INV-2026-00071", "PREINV-2026-0007", "INV-2026, 0007", "INV-2026-007", ""])
def test_a_longer_or_other_number_is_another(text: str) -> None:
    assert references.find(text, {"INV20260007", ""}) == []


def test_the_longest_reference_counts_where_two_overlap() -> None:
    known = {"INV20260007", "20260007", "0007", "SO12"}
    assert references.find("so-12, INV-2026-0007 and 0007", known) == ["SO12", "INV20260007", "0007"]


def test_a_reference_and_its_amount_are_certain_whoever_paid() -> None:
    found = match("100.00", item(7, "100.00", "INV-2026-0007"), text="inv 2026 0007", name="Somebody else")
    assert (found.certainty, paid(found)) == (Certainty.CERTAIN, [(7, "100.00")])
    assert found.reasons == ("The text names invoice 7.", "The amount settles it.")


def test_an_end_to_end_id_is_a_reference_even_if_it_is_short() -> None:
    found = match("100.00", item(7, "100.00", "E7"), item(8, "100.00", "E8"), end_to_end_id="E8")
    assert (found.certainty, paid(found)) == (Certainty.CERTAIN, [(8, "100.00")])


def test_several_invoices_that_are_named_are_paid_together() -> None:
    items = [item(7, "100.00", "INV-2026-0007"), item(8, "50.00", "INV-2026-0008"), item(9, "50.00", "INV-2026-0009")]
    found = match("150.00", *items, text="INV-2026-0007, INV-2026-0008")
    assert (found.certainty, paid(found)) == (Certainty.CERTAIN, [(7, "100.00"), (8, "50.00")])


@pytest.mark.parametrize(
    ("amount", "reason"),
    [("90.00", "10.00 EUR of it stay open."), ("120.00", "20.00 EUR are left over.")],
)
def test_another_amount_than_what_is_open_is_not_certain(amount: str, reason: str) -> None:
    found = match(amount, item(7, "100.00", "INV-2026-0007"), text="INV-2026-0007")
    assert found.certainty is Certainty.LIKELY
    assert found.reasons[1] == reason


def test_within_the_tolerance_it_is_certain() -> None:
    found = match("99.99", item(7, "100.00", "INV-2026-0007"), text="INV-2026-0007", tolerance="0.01")
    assert (found.certainty, paid(found)) == (Certainty.CERTAIN, [(7, "99.99")])
    why = "0.01 EUR of it stay open and are written off, within the tolerance of 0.01 EUR."
    assert found.reasons == ("The text names invoice 7.", why)
    found = match("100.01", item(7, "100.00", "INV-2026-0007"), text="INV-2026-0007", tolerance="0.01")
    assert (found.certainty, paid(found)) == (Certainty.CERTAIN, [(7, "100.00")])
    why = "0.01 EUR are left over, within the tolerance of 0.01 EUR; the customer keeps them as credit."
    assert found.reasons == ("The text names invoice 7.", why)


@pytest.mark.parametrize("amount", ["99.98", "100.02"])
def test_beyond_the_tolerance_it_is_not(amount: str) -> None:
    found = match(amount, item(7, "100.00", "INV-2026-0007"), text="INV-2026-0007", tolerance="0.01")
    assert found.certainty is Certainty.LIKELY
    assert "tolerance" not in found.reasons[1]


@pytest.mark.parametrize("amount", ["99.99", "100.01"])
def test_a_cent_more_or_less_of_who_paid_is_likely(amount: str) -> None:
    near = match(amount, item(7, "100.00"), item(8, "30.00"), name="ACME", tolerance="0.01")
    assert (near.certainty, near.suggestions[0].basis) == (Certainty.LIKELY, Basis.AMOUNT)
    assert near.reasons[0] == "The amount is about what is open of invoice 7."
    several = match(amount, item(7, "100.00"), item(8, "100.00"), name="ACME", tolerance="0.01")
    assert several.certainty is Certainty.POSSIBLE
    assert match(amount, item(7, "100.00"), item(8, "30.00"), name="ACME").suggestions[0].basis is Basis.OLDEST_DUE


def test_what_is_written_off_is_not_there_for_another_receipt() -> None:
    tolerant = replace(item(7, "100.00", "INV-2026-0007"), tolerance=Decimal("0.01"))
    receipts = [Receipt(key, DAY, Decimal("99.99"), "EUR", ("INV-2026-0007",)) for key in ("a", "b")]
    found = matching.match_all(receipts, [tolerant], CUSTOMERS)
    assert [found[key].certainty for key in ("a", "b")] == [Certainty.CERTAIN, Certainty.NONE]


def test_instalments_of_a_named_invoice_are_paid_the_oldest_due_first() -> None:
    parts = [item(n, "100.00", "INV-2026-0007", due=due) for n, due in ((3, 60), (1, 0), (2, 30))]
    found = match("200.00", *parts, text="INV-2026-0007")
    assert (found.certainty, paid(found)) == (Certainty.CERTAIN, [(1, "100.00"), (2, "100.00")])


class TestShortReferences:
    """`1042` may be an order, and just as well a house number."""

    ORDER = item(7, "100.00", "1042")

    def test_with_the_amount_alone_it_is_likely(self) -> None:
        assert match("100.00", self.ORDER, text="order 1042").certainty is Certainty.LIKELY

    def test_with_amount_and_payer_it_is_certain(self) -> None:
        assert match("100.00", self.ORDER, text="order 1042", name="ACME").certainty is Certainty.CERTAIN

    def test_alone_it_is_possible(self) -> None:
        assert match("30.00", self.ORDER, text="Main Street 1042").certainty is Certainty.POSSIBLE

    def test_beside_a_clear_one_it_says_nothing(self) -> None:
        invoice = item(8, "100.00", "INV-2026-0008", customer=BOLT)
        found = match("100.00", self.ORDER, invoice, text="INV-2026-0008, Main Street 1042")
        assert (found.certainty, paid(found)) == (Certainty.CERTAIN, [(8, "100.00")])


def test_invoices_of_two_customers_are_for_a_person_to_decide() -> None:
    items = [item(7, "100.00", "INV-2026-0007"), item(8, "50.00", "INV-2026-0008", customer=BOLT)]
    text = "INV-2026-0007 INV-2026-0008"
    together = match("150.00", *items, text=text)
    assert (together.certainty, paid(together)) == (Certainty.LIKELY, [(7, "100.00"), (8, "50.00")])
    unclear = match("100.00", *items, text=text)
    assert unclear.certainty is Certainty.POSSIBLE
    assert {each.plan.allocations[0].item_id.int for each in unclear.suggestions} == {7, 8}


def test_a_reference_in_another_currency_allocates_nothing() -> None:
    found = match("100.00", item(7, "100.00", "INV-2026-0007", currency="USD"), text="INV-2026-0007")
    assert (found.certainty, found.suggestions) == (Certainty.NONE, ())


@pytest.mark.parametrize(
    "who",
    [
        {"account": "de02120300000000202051"},
        {"name": "ACME"},
        {"customer_id": ACME},
    ],
)
def test_without_a_reference_amount_and_customer_are_likely(who: dict[str, Any]) -> None:
    items = [item(7, "100.00"), item(8, "70.00"), item(9, "100.00", customer=BOLT)]
    found = match("100.00", *items, **who)
    assert (found.certainty, found.suggestions[0].basis, paid(found)) == (
        Certainty.LIKELY,
        Basis.AMOUNT,
        [(7, "100.00")],
    )


def test_a_chinese_company_is_known_by_its_name() -> None:
    found = match("100.00", item(7, "100.00", customer=CITY), name="北京某某科技股份有限公司")
    assert (found.certainty, paid(found)) == (Certainty.LIKELY, [(7, "100.00")])


def test_of_equal_items_the_one_due_first_is_possible() -> None:
    found = match("100.00", item(7, "100.00", due=9), item(8, "100.00", due=2), name="Acme")
    assert (found.certainty, paid(found)) == (Certainty.POSSIBLE, [(8, "100.00")])
    assert "2 items have this amount; this one was due first." in found.reasons


@pytest.mark.parametrize(
    ("amount", "certainty", "items"),
    [
        ("65.00", Certainty.LIKELY, [7, 8, 9]),
        ("30.00", Certainty.LIKELY, [7, 8]),
        ("45.00", Certainty.POSSIBLE, [7, 9]),
    ],
)
def test_several_items_may_make_the_amount(amount: str, certainty: Certainty, items: list[int]) -> None:
    owed = [item(7, "10.00", due=1), item(8, "20.00", due=2), item(9, "35.00", due=3)]
    found = match(amount, *owed, name="Acme")
    assert (found.certainty, found.suggestions[0].basis) == (certainty, Basis.SUM)
    assert [n for n, _ in paid(found)] == items


def test_what_fits_nothing_goes_to_the_oldest_due_if_a_person_agrees() -> None:
    owed = [item(7, "100.00", due=9), item(8, "100.00", due=2)]
    found = match("130.00", *owed, name="Acme")
    assert (found.certainty, found.suggestions[0].basis) == (Certainty.POSSIBLE, Basis.OLDEST_DUE)
    assert paid(found) == [(8, "100.00"), (7, "30.00")]
    assert match("130.00", *owed, customer_id=ACME).certainty is Certainty.LIKELY


def test_who_shares_an_account_is_told_apart_by_name_or_not_at_all() -> None:
    both = [Customer(ACME, "Acme", ("X1",)), Customer(BOLT, "Bolt", ("X1",))]
    book = Book([item(7, "5.00"), item(8, "5.00", customer=BOLT)], both)
    receipt = Receipt("r", DAY, Decimal("5.00"), "EUR", account="X1")
    assert book.match(receipt).certainty is Certainty.POSSIBLE
    named = book.match(Receipt("r", DAY, Decimal("5.00"), "EUR", account="X1", name="Bolt"))
    assert (named.certainty, paid(named)) == (Certainty.LIKELY, [(8, "5.00")])


def test_an_amount_alone_is_possible_if_few_have_it() -> None:
    few = [item(n, "12.34", customer=UUID(int=n)) for n in range(10, 13)]
    found = match("12.34", *few)
    assert (found.certainty, len(found.suggestions)) == (Certainty.POSSIBLE, 3)
    many = [item(n, "12.34", customer=UUID(int=n)) for n in range(10, 30)]
    assert match("12.34", *many).certainty is Certainty.NONE


@pytest.mark.parametrize(
    ("amount", "who", "reason"),
    [
        ("-5.00", {}, "No money came in."),
        ("5.00", {}, "who paid is not known"),
        ("5.00", {"name": "Bolt & Söhne"}, "nothing is open of who paid"),
    ],
)
def test_no_match_says_why(amount: str, who: dict[str, Any], reason: str) -> None:
    found = match(amount, item(7, "77.00"), **who)
    assert (found.certainty, found.suggestions) == (Certainty.NONE, ())
    assert reason in found.reasons[0]


def test_two_equal_payments_are_not_both_for_one_item() -> None:
    owed = [item(7, "100.00", due=1), item(8, "100.00", "INV-2026-0008", due=2)]
    by_name = Receipt("a", DAY, Decimal("100.00"), "EUR", name="Acme")
    by_text = Receipt("b", DAY + timedelta(days=1), Decimal("100.00"), "EUR", ("INV-2026-0008",))
    again = Receipt("c", DAY + timedelta(days=2), Decimal("100.00"), "EUR", name="Acme")
    found = matching.match_all([again, by_text, by_name], owed, CUSTOMERS)
    assert [paid(found[key]) for key in "ba"] == [[(8, "100.00")], [(7, "100.00")]]
    assert [found[key].certainty for key in "bac"] == [Certainty.CERTAIN, Certainty.LIKELY, Certainty.NONE]


def test_what_was_paid_in_part_is_open_with_its_rest() -> None:
    part = Receipt("a", DAY, Decimal("60.00"), "EUR", ("INV-2026-0007",))
    whole = Receipt("b", DAY, Decimal("100.00"), "EUR")
    rest = Receipt("c", DAY, Decimal("40.00"), "EUR")
    found = matching.match_all([part, whole, rest], [item(7, "100.00", "INV-2026-0007")], CUSTOMERS)
    assert [found[key].certainty for key in "abc"] == [Certainty.LIKELY, Certainty.NONE, Certainty.POSSIBLE]


def test_a_bank_line_is_matched() -> None:
    (read,) = camt.read(file(Entry("100.00", [Part(name="Acme", texts=("Re. INV-2026-", "0007"))])))
    receipt = matching.of_line(read.lines[0])
    found = matching.match_all([receipt], [item(7, "100.00", "INV-2026-0007")], CUSTOMERS)
    assert found[read.lines[0].key].certainty is Certainty.CERTAIN


NAMES = st.sampled_from(["INV-2026-0007", "INV-2026-0008", "1042", "", "x"])
AMOUNTS = st.sampled_from([Decimal(n) for n in ("10.00", "20.00", "30.00", "0.01", "99.99")])
ITEMS = st.lists(st.tuples(AMOUNTS, NAMES, st.sampled_from([ACME, BOLT]), st.integers(0, 3)), max_size=8).map(
    lambda given: [item(n, str(open), name, customer=of, due=due) for n, (open, name, of, due) in enumerate(given)]
)
RECEIPTS = st.lists(st.tuples(AMOUNTS, NAMES, st.sampled_from(["Acme", "Bolt Söhne", ""])), max_size=6).map(
    lambda given: [
        Receipt(f"r{n}", DAY, amount, "EUR", (text,), name=name) for n, (amount, text, name) in enumerate(given)
    ]
)


@given(RECEIPTS, ITEMS, st.randoms(use_true_random=False))
def test_laws(receipts: list[Receipt], items: list[OpenItem], chance: random.Random) -> None:
    found = matching.match_all(receipts, items, CUSTOMERS)
    opens = {each.id: each.open for each in items}
    booked = dict.fromkeys(opens, Decimal(0))
    assert set(found) == {receipt.key for receipt in receipts}
    for receipt in receipts:
        for suggestion in found[receipt.key].suggestions:
            assert sum(each.amount for each in suggestion.plan.allocations) + suggestion.plan.rest == receipt.amount
            assert all(0 < each.amount <= opens[each.item_id] for each in suggestion.plan.allocations)
        if found[receipt.key].certainty in (Certainty.CERTAIN, Certainty.LIKELY):
            for each in found[receipt.key].suggestions[0].plan.allocations:
                booked[each.item_id] += each.amount
        if found[receipt.key].certainty is Certainty.CERTAIN:
            assert found[receipt.key].suggestions[0].basis is Basis.REFERENCE
            assert found[receipt.key].suggestions[0].plan.settles()
    assert all(booked[id] <= opens[id] for id in opens), "what is certain and likely can all be booked"
    shuffled = [chance.sample(each, len(each)) for each in (receipts, items, CUSTOMERS)]
    assert matching.match_all(*shuffled) == found  # type: ignore[arg-type]


def test_a_customer_of_many_items_and_a_long_text_take_no_time() -> None:
    owed = [item(n, f"{n % 977 + 1}.37", f"INV-2026-{n:06}", due=n % 90) for n in range(20_000)]
    text = tuple("7 " * 250 for _ in range(20))
    receipts = [Receipt(f"r{n}", DAY, Decimal(f"{n}.11"), "EUR", text, name="Acme") for n in range(20)]
    book = Book(owed, CUSTOMERS)
    started = time.perf_counter()
    for receipt in receipts:
        assert book.match(receipt).suggestions
    assert time.perf_counter() - started < 2 * slowness()

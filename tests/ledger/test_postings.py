"""Shares of base amounts, merging, ids, and the hash of a request."""

from __future__ import annotations

from decimal import Decimal
from uuid import uuid4

import pytest
from hypothesis import given
from hypothesis import strategies as st

from crmgql.ledger.accounts import GROUPS, TYPES, Account
from crmgql.ledger.postings import Item, Posting, merged, new_id, share
from crmgql.models import Purpose
from tests.ledger.conftest import entry, receivable, sale, usd

CENTS = st.integers(min_value=1, max_value=10**12)


@given(CENTS, CENTS, st.data())
def test_parts_of_a_base_amount_sum_to_the_whole_in_any_order(whole: int, base: int, data: st.DataObject) -> None:
    left, left_base = Decimal(whole), Decimal(base).scaleb(-2)
    total = Decimal(0)
    while left:
        part = Decimal(data.draw(st.integers(min_value=1, max_value=int(left)))) if left > 1 else left
        taken = share(part, left, left_base, "USD")
        assert 0 <= taken <= left_base
        left, left_base, total = left - part, left_base - taken, total + taken
    assert left_base == 0
    assert total == Decimal(base).scaleb(-2)


@pytest.mark.parametrize(
    ("part", "whole", "base", "taken"),
    [
        ("50", "100", "328.36", "164.18"),  # ../shared/cases/money.md: an advance at another rate
        ("50", "100", "326.33", "163.16"),  # what is left is rounded half up: 163.165 → 163.17
        ("50", "50", "163.17", "163.17"),
        ("0", "50", "163.17", "0.00"),
        (
            "816799305842.46",
            "1633598611684.92",
            "165745157695188.67",
            "82872578847594.33",
        ),  # more digits than a context has
    ],
)
def test_a_share_leaves_what_is_rounded_half_up(part: str, whole: str, base: str, taken: str) -> None:
    assert share(Decimal(part), Decimal(whole), Decimal(base), "USD") == Decimal(taken)


def test_more_than_the_whole_has_no_share() -> None:
    with pytest.raises(ValueError, match="no part"):
        share(Decimal(2), Decimal(1), Decimal(1), "USD")


def test_each_purpose_is_of_one_type() -> None:
    assert TYPES.keys() == set(Purpose)
    assert sum(len(names.split()) for names in GROUPS.values()) == len(Purpose)


def test_an_account_that_is_kept_by_items_names_one() -> None:
    with pytest.raises(ValueError, match="kept by open items"):
        Account(Purpose.RECEIVABLE)
    with pytest.raises(ValueError, match="no item"):
        Account(Purpose.BANK, uuid4())


def test_postings_between_the_same_accounts_are_one_and_empty_ones_none() -> None:
    item = receivable()
    revenue, tax = Account(Purpose.REVENUE), Account(Purpose.TAX)
    found = merged(
        [usd(revenue, item.account, "1.00"), usd(tax, item.account, "0.00"), usd(revenue, item.account, "2.00")]
    )
    assert found == [usd(revenue, item.account, "3.00")]


def test_ids_are_of_version_7_and_in_the_order_of_time() -> None:
    made = [new_id() for _ in range(100)]
    assert {each.version for each in made} == {7}
    assert {each.variant for each in made} == {made[0].variant}
    assert len(set(made)) == 100
    assert [each.int >> 80 for each in made] == sorted(each.int >> 80 for each in made)


def test_the_request_is_the_same_with_other_new_items_and_another_with_another_amount() -> None:
    customer = uuid4()
    first = sale(customer, receivable(), "10.00").request_hash
    assert sale(customer, receivable(), "10.00").request_hash == first
    assert sale(customer, receivable(), "10.01").request_hash != first
    assert sale(customer, receivable(), "10.00", key="other").request_hash == first
    there = Item(Purpose.RECEIVABLE, "USD")
    posting = Posting(Account(Purpose.REVENUE), there.account, "USD", Decimal("10.00"), Decimal("10.00"))
    assert entry("order.confirmed", customer, posting, key="sale").request_hash != first

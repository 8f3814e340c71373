"""Whatever is in a body: facts whose values fit the books, or a coded refusal."""

from __future__ import annotations

import json
from dataclasses import replace
from datetime import UTC
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from crmgql.domain.money import providers
from crmgql.domain.money.providers import minor_units, refusals
from crmgql.domain.money.providers.adyen import EVENTS as ADYENS
from crmgql.domain.money.providers.facts import Account, Fact, Kind
from crmgql.domain.money.providers.refusals import BodyInvalid
from crmgql.domain.money.providers.stripe import EVENTS as STRIPES
from crmgql.domain.money.providers.wechat import EVENTS as WECHATS
from crmgql.errors import CrmError
from crmgql.records import money
from tests.domain.money.providers import posts
from tests.domain.money.providers.posts import ACCOUNTS

PAGES = Path(__file__).resolve().parents[4] / "docs" / "reference"
CODES = [each.code for each in vars(refusals).values() if isinstance(each, type) and issubclass(each, CrmError)]

scalars = st.one_of(
    st.none(),
    st.booleans(),
    st.integers(),
    st.floats(),
    st.text(max_size=10),
    st.sampled_from(
        ["usd", "isk", "pi_1", "true", "-5", "2026-03-01T13:00:00Z", "9999-12-31T23:59:59-23:59", 10**18, 500]
    ),
)
values = st.recursive(
    scalars, lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=5), inner, max_size=3)
)
THING = {
    "id": "x_1",
    "object": "charge",
    "amount": 1000,
    "amount_received": 1000,
    "amount_capturable": 1000,
    "amount_captured": 1000,
    "amount_refunded": 1000,
    "captured": True,
    "currency": "eur",
    "status": "pending",
    "charge": "ch_1",
    "payment_intent": "pi_1",
    "metadata": {"order": "A-1"},
    "payment_method_types": ["card"],
    "payment_method_details": {"type": "card"},
    "balance_transaction": {"id": "txn_1", "fee": 30, "currency": "usd", "created": 1772366400},
    "balance_transactions": [],
}
"""All that events of Stripe are read for."""


def changed(whole: dict[str, Any]) -> st.SearchStrategy[dict[str, Any]]:
    """The same with some values replaced by any others."""
    return st.dictionaries(st.sampled_from(sorted(whole)), values, max_size=2).map(lambda some: {**whole, **some})


def fits(fact: Fact) -> None:
    assert fact.occurred_at.tzinfo is UTC
    texts = [fact.event_id, fact.raw_kind, fact.reference, fact.part, fact.key, fact.order, fact.method, *fact.also]
    assert all(text is None or (0 < len(text) <= 600 and "\x00" not in text) for text in texts)
    if fact.kind not in (Kind.NOTED, Kind.UNKNOWN):
        assert fact.amount is not None
        assert fact.currency is not None
        assert -fact.amount.as_tuple().exponent == money.scale(fact.currency)  # type: ignore[operator]
        assert abs(fact.amount) < money.LIMIT
        assert fact.amount >= 0 or fact.kind.family in ("FEE", "PAYOUT")
        assert fact.reference or fact.part


@given(
    kind=st.sampled_from(sorted(STRIPES)),
    thing=changed(THING),
    event=changed({"id": "evt_1", "created": 1772366400, "livemode": True}),
)
def test_any_object_of_stripe(kind: str, thing: dict[str, Any], event: dict[str, Any]) -> None:
    read(json.dumps({**event, "type": kind, "data": {"object": thing}}).encode(), "stripe", ACCOUNTS["stripe"])


@given(kind=st.sampled_from(sorted(ADYENS)), item=changed(posts.adyen_item("CAPTURE", originalReference="PSP0")))
def test_any_item_of_adyen(kind: str, item: dict[str, Any]) -> None:
    for at_once in (True, False):
        account = replace(ACCOUNTS["adyen"], captured_at_once=at_once)
        read(posts.adyen_post({**item, "eventCode": kind}).body, "adyen", account)


@given(kind=st.sampled_from(sorted(WECHATS)), content=changed({**posts.TRANSACTION, **posts.REFUND}))
def test_any_content_of_wechat(kind: str, content: dict[str, Any]) -> None:
    read(posts.wechat(kind, content).body, "wechat", ACCOUNTS["wechat"])


@given(
    fields=st.dictionaries(
        st.sampled_from(
            ["trade_no", "total_amount", "refund_fee", "gmt_payment", "gmt_refund", "notify_time", "trans_currency"]
        ),
        st.text(max_size=20) | st.sampled_from(["USD", "1.5", "0", "2026-03-01 20:00:00", "88.88"]),
    )
)
def test_any_form_of_alipay(fields: dict[str, str]) -> None:
    post = posts.alipay()
    changes = {name: value.encode("utf-8", "replace").decode() for name, value in fields.items()}
    read(posts.alipay(**changes).body, post.provider, ACCOUNTS["alipay"])


@given(body=st.binary(max_size=300) | values.map(lambda value: json.dumps(value).encode()))
@pytest.mark.parametrize("name", sorted(providers.PROVIDERS))
def test_any_bytes(name: str, body: bytes) -> None:
    read(body, name, ACCOUNTS[name])


def read(body: bytes, name: str, account: Account) -> None:
    try:
        facts = providers.get(name).read(body, account)
    except CrmError as refusal:
        facts = []
        if refusal.code not in CODES:
            raise
    for fact in facts:
        fits(fact)


@pytest.mark.parametrize("name", ["stripe", "adyen", "wechat"])
@pytest.mark.parametrize(
    "bomb", [b"[" * 500_000, b'{"a":' * 100_000, b'{"a":' * 60 + b"1" + b"}" * 60, b"\xff", b"1e999", b"\xef\xbb\xbf{}"]
)
def test_nesting_bombs_are_refused(name: str, bomb: bytes) -> None:
    with pytest.raises(BodyInvalid):
        providers.get(name).read(bomb, ACCOUNTS[name])


@given(
    units=st.integers(0, 10**12), currency=st.sampled_from(["USD", "JPY", "KWD", "ISK", "MGA"]), own=st.integers(0, 3)
)
def test_an_amount_keeps_its_value_or_is_refused(units: int, currency: str, own: int) -> None:
    try:
        amount = minor_units.amount(units, currency, {currency: own})
    except BodyInvalid:
        assert own > minor_units.scale(currency)
        assert units % 10 ** (own - minor_units.scale(currency))
        return
    assert amount * 10**own == units


def test_each_refusal_is_in_the_table_of_codes() -> None:
    page = (PAGES / "errors.md").read_text("utf-8")
    assert [code for code in CODES if f"| `{code}` |" not in page] == []


def test_each_event_is_in_the_table_of_its_provider() -> None:
    page = (PAGES / "payment-providers.md").read_text("utf-8")
    assert [each for each in (*STRIPES, *ADYENS, *WECHATS) if f"`{each}`" not in page] == []
    assert [each for each in Kind if f"`{each.value}`" not in page] == []

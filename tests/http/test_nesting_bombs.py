"""Input that is nested or repeated without end is refused quickly, with a code, and never breaks the process.

Times are the processor's, so that it does not matter what else the machine does."""

from __future__ import annotations

import json
import time
import uuid
from typing import Any

import orjson
import pytest
from hypothesis import given
from hypothesis import strategies as st

from crmgql.engine.errors import Rejected
from crmgql.engine.operations import Engine, Request
from crmgql.http import json_limits, requests
from crmgql.http.refusals import Refused
from tests.conftest import viewer

ADMIN = viewer(uuid.UUID(int=1), "ADMIN")
CODES = ("BAD_USER_INPUT", "QUERY_TOO_COMPLEX", "GRAPHQL_PARSE_FAILED")
QUERY = "query($w: CustomerWhere) { customers(where: $w) { totalCount } }"


def nested(depth: int) -> dict[str, Any]:
    where: dict[str, Any] = {"name": {"eq": "x"}}
    for _ in range(depth):
        where = {"not": where}
    return where


async def refused(engine: Engine, request: Request) -> str:
    started = time.process_time()
    with pytest.raises(Rejected) as caught:
        await engine.answer(request, ADMIN)
    assert time.process_time() - started < 5
    return str(caught.value.errors[0]["extensions"]["code"])


@pytest.mark.parametrize("depth", [30, 200, 900])
async def test_deep_variables(engine: Engine, depth: int) -> None:
    assert await refused(engine, Request(QUERY, None, {"w": nested(depth)})) in CODES


@pytest.mark.parametrize("depth", [30, 200, 600, 1900])
async def test_deep_literals(engine: Engine, depth: int) -> None:
    text = "{not:" * depth + "{}" + "}" * depth
    code = await refused(engine, Request(f"{{ customers(where: {text}) {{ totalCount }} }}"))
    assert code in CODES


async def test_wide_conditions(engine: Engine) -> None:
    wide = {"or": [{"name": {"eq": str(number)}} for number in range(5000)]}
    assert await refused(engine, Request(QUERY, None, {"w": wide})) == "BAD_USER_INPUT"


async def test_many_ids(engine: Engine) -> None:
    ids = [f"cus_{uuid.uuid4().hex}" for _ in range(101)]
    request = Request("query($ids: [ID!]!) { nodes(ids: $ids) { id } }", None, {"ids": ids})
    assert await refused(engine, request) == "BAD_USER_INPUT"


async def test_long_lists(engine: Engine) -> None:
    where = {"name": {"in": [str(number) for number in range(1001)]}}
    assert await refused(engine, Request(QUERY, None, {"w": where})) == "BAD_USER_INPUT"


async def test_a_deep_selection(engine: Engine) -> None:
    for depth in (20, 400, 1300):
        text = "{ team { parent" + " { parent" * depth + " { id }" + " }" * depth + " } }"
        assert await refused(engine, Request("{ me " + text + " }")) in CODES


HUGE = {"or": [{"name": {"eq": "x"}} for _ in range(40_000)]}


async def test_nobody_is_refused_before_variables_are_read(engine: Engine) -> None:
    started = time.process_time()
    for text in (
        QUERY,
        "query($w: CustomerWhere, $o: Boolean = false) { __typename ...A } fragment A on Query { ...B } "
        "fragment B on Query { customers(where: $w) @include(if: $o) { totalCount } }",
        "mutation($i: CustomerUpdateInput!) { customerUpdate(input: $i) { userErrors { code } } }",
    ):
        with pytest.raises(Rejected) as caught:
            await engine.answer(Request(text, None, {"w": HUGE, "i": {"name": 1}}), None)
        assert caught.value.errors[0]["extensions"]["code"] == "UNAUTHENTICATED"
    assert time.process_time() - started < 0.2


@pytest.mark.parametrize(
    "huge",
    [
        HUGE,
        {"name": {"in": ["x"] * 30_000}},
        {"or": [{}] * 30_000},
        [[]] * 30_000,
        {f"a{number}": 1 for number in range(30_000)},
        ['"\\'] * 30_000,
    ],
    ids=["conditions", "list", "empty objects", "empty lists", "keys", "escapes"],
)
def test_huge_variables(huge: Any) -> None:
    body = json.dumps({"query": QUERY, "variables": {"w": huge}}).encode()
    started = time.process_time()
    with pytest.raises(Refused) as caught:
        requests.decode(body)
    assert time.process_time() - started < 0.1
    assert (caught.value.status, caught.value.code) == (400, "BAD_REQUEST")


def test_what_strings_hold_does_not_count() -> None:
    note = '{"[,[{' * 20_000
    assert (
        requests.decode(json.dumps({"query": QUERY, "variables": {"note": note}}).encode())["variables"]["note"] == note
    )


@pytest.mark.parametrize(("levels", "fits"), [(64, True), (65, False), (500, False)])
def test_levels_are_counted_without_strings(levels: int, fits: bool) -> None:
    value: Any = "]}" * 300 + "[" * 300
    for _ in range(levels):
        value = [value]
    text = json.dumps(value).encode()
    if fits:
        assert requests.decode(text) == value
    else:
        with pytest.raises(Refused, match="nested too deeply"):
            requests.decode(text)


@given(
    st.recursive(
        st.none() | st.booleans() | st.text(alphabet='ab"\\[]{},:', max_size=8),
        lambda inner: (
            st.lists(inner, max_size=6) | st.dictionaries(st.text(alphabet='a"\\{[,', max_size=4), inner, max_size=6)
        ),
        max_leaves=40,
    )
)
def test_counting_agrees_with_walking(value: Any) -> None:
    text = orjson.dumps(value)
    count = separators(value)
    json_limits.check(text, most=max(count, 1))
    if count > 1:
        with pytest.raises(Refused):
            json_limits.check(text, most=count - 1)


def separators(value: Any) -> int:
    """Lists, objects and commas of a value, as its JSON has them."""
    if not isinstance(value, dict | list):
        return 0
    inner = value.values() if isinstance(value, dict) else value
    return 1 + max(0, len(value) - 1) + sum(separators(each) for each in inner)


async def test_a_text_of_comments(engine: Engine) -> None:
    started = time.process_time()
    for comments in ("#" + "x" * 1_000_000 + "\n", "# comment\n" * 100_000, "," * 1_000_000):
        assert await refused(engine, Request(comments + "{ __typename }")) == "QUERY_TOO_COMPLEX"
    assert time.process_time() - started < 0.2


@pytest.mark.parametrize("text", ["{ customers(first: %s) { totalCount } }", "{ customer(id: %s) { id } }"])
async def test_a_number_of_thousands_of_digits(engine: Engine, text: str) -> None:
    with pytest.raises(Rejected) as caught:
        await engine.answer(Request(text % ("9" * 5000)), ADMIN)
    assert "set_int_max_str_digits" not in str(caught.value.errors)


@pytest.mark.parametrize("end", [b"", b"\\", b'"', b'"]', b"\\\\"])
@pytest.mark.parametrize("inside", [b'\\"', b"\\\\", b'\\"\\\\', b'"x', b"\\n"])
def test_strings_without_end_take_no_time(inside: bytes, end: bytes) -> None:
    """Found with 32 kB of escaped quotes after 65 brackets: each quote was taken for the start of a string, and read to the
    end of the body. It took six seconds, and four times as long for twice as many."""
    started = time.process_time()
    with pytest.raises(Refused):
        requests.decode(b"[" * 65 + b'"' + inside * (500_000 // len(inside)) + end)
    assert time.process_time() - started < 0.5

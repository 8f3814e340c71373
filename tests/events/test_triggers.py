"""Which events count: kinds, nouns with a star, changed fields."""

from __future__ import annotations

from fnmatch import fnmatchcase

import pytest
import pytest_asyncio
from hypothesis import given
from hypothesis import strategies as st

from crmgql import db
from crmgql.errors import BadUserInput
from crmgql.events import kinds, triggers

NOUNS = sorted({name.partition(".")[0] for name in kinds.KINDS})
KIND = st.sampled_from(sorted(kinds.KINDS)) | st.sampled_from([f"{noun}.foreseen" for noun in NOUNS])
WRITTEN = st.lists(st.sampled_from(sorted(kinds.KINDS)) | st.sampled_from([f"{noun}.*" for noun in NOUNS]), max_size=5)
FIELDS = st.lists(st.sampled_from(["name", "total", "status", "ownerId"]), max_size=3)


@pytest_asyncio.fixture(autouse=True, scope="module")
async def known_models() -> None:
    """Before, no record has foreign keys."""
    await db.know_models()


@given(written=WRITTEN, fields=FIELDS, kind=KIND, changed=FIELDS)
def test_what_matches(written: list[str], fields: list[str], kind: str, changed: list[str]) -> None:
    """As shell patterns do, and any of the fields."""
    by_kind = not written or any(fnmatchcase(kind, each) for each in written)
    by_field = not fields or not changed or any(field in changed for field in fields)
    assert triggers.of(written, fields).match(kind, changed) == (by_kind and by_field)


@given(written=WRITTEN)
def test_kinds_to_look_for_are_those_that_match(written: list[str]) -> None:
    made = triggers.of(written)
    wanted = made.kinds()
    assert (wanted is None) == (not written)
    assert all((name in wanted) == made.match(name, []) for name in kinds.KINDS) if wanted is not None else True
    triggers.check(written)


def test_a_noun_is_not_the_beginning_of_another() -> None:
    """`leadQueue.created` is no event of a lead, `pool.*` has none of a pool's items."""
    assert not triggers.of(["lead.*"]).match("leadQueue.created", [])
    assert not triggers.of(["pool.*"]).match("poolItem.claimed", [])


def test_what_changed_nothing_counts_whatever_the_fields() -> None:
    wanted = triggers.of(["customer.*", "gap.recorded"], ["name"])
    assert wanted.match("gap.recorded", [])
    assert wanted.match("customer.erased", [])
    assert not wanted.match("customer.updated", ["notes"])
    assert wanted.match("customer.updated", ["notes", "name"])


@pytest.mark.parametrize(
    ("written", "fields", "field", "said"),
    [
        (["order.confirmd"], [], "kinds.0", "did you mean order.confirmed?"),
        (["order.created", "ord.*"], [], "kinds.1", "There is no kind of event 'ord.*'"),
        (["order.c*"], [], "kinds.0", "order.*"),
        (["*"], [], "kinds.0", "There is no kind of event '*'"),
        (["order.*"], ["total", "owner"], "fields.1", "No record that these kinds are about has a field 'owner'"),
        (["customer.*"], ["ownerID"], "fields.0", "did you mean ownerId?"),
        (["order.*"] * 101, [], "kinds", "at most 100"),
        (["\x00"], [], "kinds.0", r"'\x00'"),
    ],
)
def test_what_is_refused(written: list[str], fields: list[str], field: str, said: str) -> None:
    with pytest.raises(BadUserInput) as refused:
        triggers.check(written, fields)
    assert refused.value.field == field
    assert said in refused.value.message


def test_fields_of_any_record_do_where_no_kind_is_named() -> None:
    triggers.check([], ["total", "lostReason"])

"""Roles of a company's own: whatever they grant, an answer is whole or refused, never broken."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace

import pytest

from crmgql import access
from crmgql.access import roles
from crmgql.engine.errors import Rejected
from crmgql.engine.operations import Request
from crmgql.viewer import Viewer, Who
from tests.access.workshop import Company, role


@contextmanager
def clerk(grants: str) -> Iterator[Viewer]:
    roles.declare("CLERK", grants)
    try:
        yield replace(role("FINANCE"), who=Who(frozenset({"CLERK"})))
    finally:
        roles.declare("CLERK", "")
        del access.ROLES["CLERK"]


@pytest.mark.parametrize("fields", ["id name", "id team { id }"])
async def test_a_record_that_is_always_there_but_never_seen_is_refused(company: Company, fields: str) -> None:
    """A commission has a seller, so its field is not nullable: for who sees no users there is no right answer. All rows
    of the list, and the list itself, were null where the schema says that they are not."""
    query = f"{{ commissions {{ totalCount nodes {{ id seller {{ {fields} }} }} }} }}"
    with clerk("customer.read commission.read") as viewer:
        with pytest.raises(Rejected, match="You may not see users") as caught:
            await company.engine.answer(Request(query), viewer)
        assert caught.value.errors[0]["extensions"]["code"] == "FORBIDDEN"
        data = await company.data("{ commissions(first: 5) { totalCount nodes { id } } }", viewer)
        assert data["commissions"]["totalCount"] > len(data["commissions"]["nodes"]) == 5
    with clerk("customer.read commission.read user.read team.read") as viewer:
        data = await company.data(query, viewer)
        assert all(each["seller"]["id"] for each in data["commissions"]["nodes"])

"""Events and the audit trail tell nobody of what they may not see: attacks, roles of one's own, and what it costs."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from typing import Any

import pytest

from crmgql import access
from crmgql.access import roles, trails
from crmgql.planner import metadata
from crmgql.sql import ast
from crmgql.sql import walk as walk_sql
from crmgql.viewer import Viewer, Who
from tests.access.test_attacks import sight
from tests.access.workshop import Company, person, role
from tests.planner.bench import made

FINANCE, ADMIN, INTEGRATION = role("FINANCE"), role("ADMIN"), role("INTEGRATION")
TRAILS = {"AuditEntry": ("auditEntries", "aud", FINANCE), "Event": ("events", "evt", INTEGRATION)}
HIDDEN = {
    "AuditEntry": {
        "Lead",
        "LeadDuplicate",
        "ApiKey",
        "Job",
        "Task",
        "Notification",
        "RoutingRule",
        "PoolItem",
        "Schedule",
        "EventSubscription",
        "Export",
    },
    "Event": {"ApiKey", "Job", "Notification", "Commission", "RoutingRule", "PoolItem", "Schedule", "IntakeSource"},
}
KINDS = pytest.mark.parametrize("kind", TRAILS)


def entries(company: Company, kind: str) -> list[dict[str, Any]]:
    return company.rows["audit_entries" if kind == "AuditEntry" else "events"]


def unseen(company: Company, kind: str) -> list[dict[str, Any]]:
    """The entries about what the type's reader does not see."""
    viewer = TRAILS[kind][2]
    return [row for row in entries(company, kind) if not sight(company, viewer).sees(kind, row)]


@contextmanager
def auditors(grants: str) -> Iterator[Viewer]:
    """Somebody with a role of the company's own."""
    roles.declare("AUDITOR", grants)
    try:
        yield replace(FINANCE, who=Who(frozenset({"AUDITOR"})))
    finally:
        roles.declare("AUDITOR", "")
        del access.ROLES["AUDITOR"]


def test_the_company_has_something_to_hide(company: Company) -> None:
    for kind, types in HIDDEN.items():
        assert types <= {row["subject_type"] for row in unseen(company, kind)}


@KINDS
async def test_every_way_to_an_entry_about_what_is_hidden(company: Company, kind: str) -> None:
    """Attack: finance sees no lead, and reads its name and address in the audit trail."""
    plural, prefix, viewer = TRAILS[kind]
    query = f"""query ($id: ID!, $ids: [ID!]!) {{ node(id: $id) {{ id }} nodes(ids: $ids) {{ id }}
      one: {plural[:-3] + "y" if plural.endswith("ies") else plural[:-1]}(id: $id) {{ id subjectType }}
      {plural}(where: {{id: {{eq: $id}}}}) {{ totalCount nodes {{ id subjectType }} }}
      not: {plural}(where: {{not: {{id: {{ne: $id}}}}}}) {{ totalCount }} }}"""
    for row in unseen(company, kind):
        id = f"{prefix}_{row['id'].hex}"
        data = await company.data(query, viewer, {"id": id, "ids": [id]})
        assert data == {
            "node": None,
            "nodes": [None],
            "one": None,
            plural: {"totalCount": 0, "nodes": []},
            "not": {"totalCount": 0},
        }


@KINDS
async def test_counting_entries_by_type(company: Company, kind: str) -> None:
    """Attack: count what happened to records that are hidden, and so how many there are."""
    plural, _, viewer = TRAILS[kind]
    for subject in sorted(HIDDEN[kind]):
        wheres = (f'{{subjectType: {{eq: "{subject}"}}}}', f'{{not: {{subjectType: {{ne: "{subject}"}}}}}}')
        for where in wheres:
            found = await company.data(f"{{ {plural}(where: {where}) {{ totalCount }} }}", viewer)
            seen = [
                row
                for row in entries(company, kind)
                if row["subject_type"] == subject and sight(company, viewer).sees(kind, row)
            ]
            assert found == {plural: {"totalCount": len(seen)}}


async def test_an_administrator_reads_all_but_others_news_and_mail(company: Company) -> None:
    for kind, (plural, *_) in TRAILS.items():
        hidden = [row for row in entries(company, kind) if not sight(company, ADMIN).sees(kind, row)]
        assert {row["subject_type"] for row in hidden} == {"Notification", "EmailMessage"}
        found = await company.data(f"{{ {plural} {{ totalCount }} }}", ADMIN)
        assert found == {plural: {"totalCount": len(entries(company, kind)) - len(hidden)}}


async def test_a_key_reads_of_its_own_nouns_only(company: Company) -> None:
    """Attack: a key made to follow orders reads of leads in the stream of events."""
    for scopes, types in (
        ({"events:read"}, {"import"}),
        ({"events:read", "orders:read"}, {"import", "Order", "OrderLine", "CommissionSplit"}),
        ({"events:read", "orders:write"}, {"import"}),
    ):
        key = replace(INTEGRATION, who=Who(INTEGRATION.roles, frozenset(scopes)))
        data = await company.data("{ events(first: 100) { nodes { subjectType } } }", key)
        assert {node["subjectType"] for node in data["events"]["nodes"]} == types
    everything = await company.data("{ events { totalCount } }", person(13, frozenset({"*:read"})))
    assert everything == await company.data("{ events { totalCount } }", INTEGRATION)


async def test_what_is_gone_is_known_to_those_who_saw_all_of_its_type(company: Company) -> None:
    """Finished jobs are deleted after a while, what happened to them is not."""
    gone = next(row for row in company.rows["jobs"] if row["actor_id"] == FINANCE.user_id)
    async with company.database.connection() as connection:
        held = connection.transaction()
        await held.start()
        try:
            await connection.execute("UPDATE jobs SET parent_id = NULL WHERE parent_id = $1", gone["id"])
            await connection.execute(
                "INSERT INTO audit_entries (action, subject_type, subject_id, occurred_at) VALUES ('x', 'Job', $1, now())",
                gone["id"],
            )
            before = [await _count(connection, viewer) for viewer in (ADMIN, FINANCE)]
            await connection.execute("DELETE FROM jobs WHERE id = $1", gone["id"])
            after = [await _count(connection, viewer) for viewer in (ADMIN, FINANCE)]
        finally:
            await held.rollback()
    assert after[0] == before[0]
    assert after[1] < before[1]


async def _count(connection: Any, viewer: Viewer) -> int:
    seen = access.visible("AuditEntry", viewer.who)
    sql, values = access.statement("SELECT count(*) FROM ({seen}) t", viewer, selects={"seen": seen})
    return int(await connection.fetchval(sql, *values))


async def test_a_role_of_ones_own_reads_what_it_grants(company: Company) -> None:
    """Attack: who may read the trail, but no salaries and costs, reads in it what they were before."""
    query = "{ auditEntries(first: 100) { nodes { subjectType } } users { totalCount } orders { totalCount } }"
    common = "audit.read user.read team.read product.read"
    for grants, types in (
        (common, {"import", "Team"}),
        (f"{common} salary.read", {"import", "Team", "User"}),
        (f"{common} salary.read cost.read", {"import", "Team", "User", "Product"}),
        ("audit.read order.read", {"import"}),
        ("user.read", set()),
    ):
        with auditors(grants) as viewer:
            data = await company.data(query, viewer)
        assert {node["subjectType"] for node in data["auditEntries"]["nodes"]} == types, grants
        assert (data["users"]["totalCount"] > 0) == ("user.read" in grants)
        assert data["orders"]["totalCount"] == 0, "orders are seen no further than customers"


async def test_a_changed_role_gets_other_answers_at_once(company: Company) -> None:
    """Plans are kept by what a role grants, not by its name."""
    counts = []
    for grants in ("team.read", "user.read", "team.read"):
        with auditors(grants) as viewer:
            counts.append((await company.data("{ teams { totalCount } }", viewer))["teams"]["totalCount"])
    assert counts == [6, 0, 6]


async def test_the_audit_trail_tells_nothing_of_types_with_a_column_that_one_may_not_read() -> None:
    """Attacks: read what a hidden column held in the audit trail, without one of the administrator's permissions, or with a key that
    lacks one of the scopes. Walks all columns of all types."""
    known, admin = (await made()).metadata, access.ROLES["ADMIN"].permissions
    nouns = {entry.noun for entry in access.ENTRIES.values()}
    keys = [frozenset(f"{noun}:read" for noun in nouns - {left_out}) for left_out in sorted(nouns - {"audit"})]
    hidden = set()
    for viewer in [*_with_less(admin), *(person(1, scopes) for scopes in keys)]:
        told = _told_of(viewer.who)
        for record, entry in access.ENTRIES.items():
            for name in entry.fields:
                is_column = isinstance(known.nodes[record].fields[name], metadata.Leaf | metadata.Money)
                if is_column and access.field(record, name, viewer.who, "t") != ast.TRUE:
                    hidden.add((record, name))
                    assert record not in told, (record, name)
    columns = {
        (record, name)
        for record, entry in access.ENTRIES.items()
        for name in entry.fields
        if isinstance(known.nodes[record].fields[name], metadata.Leaf | metadata.Money)
    }
    assert hidden == columns, "each is hidden from somebody"
    assert {"Customer", "AssignmentDecision", "User"} <= _told_of(ADMIN.who)


def _with_less(permissions: frozenset[str]) -> Iterator[Viewer]:
    """Those who lack one of the permissions each."""
    for name in sorted(permissions):
        with auditors(" ".join(permissions - {name})) as viewer:
            yield viewer


def _told_of(who: Who) -> set[str]:
    """The types of which the audit trail shows any rows."""
    texts = [part.value for part in walk_sql.parts(access.rows("AuditEntry", who, "t")) if isinstance(part, ast.Text)]
    return {name for text in texts for name in text.strip("{}").split(",")}


@pytest.mark.parametrize("name", ["ADMIN", "FINANCE"])
async def test_a_page_looks_its_few_subjects_up(company: Company, name: str) -> None:
    """However many jobs and mails there are: none of them is read but those that the page is about."""
    bench, viewer = await made(), role(name)
    plan, variables = bench.plan("{ auditEntries(first: 5) { nodes { id } } }", {}, viewer.who)
    async with company.database.connection() as connection, connection.transaction():
        await connection.execute("SET LOCAL enable_seqscan = off")
        told = await connection.fetchval(f"EXPLAIN (FORMAT JSON) {plan.sql}", *plan.values(variables, viewer))
    nodes = list(walk(json.loads(told)[0]["Plan"]))
    subjects = [node for node in nodes if node.get("Parent Relationship") == "SubPlan" and "Relation Name" in node]
    assert len(subjects) == {"ADMIN": 2, "FINANCE": 6}[name]
    assert {re.sub(r"\bt_\d+", "t", node["Index Cond"]) for node in subjects} == {
        "(id = t.subject_id)"
    }  # of partitions
    assert "hashed" not in told


def walk(node: dict[str, Any]) -> Iterator[dict[str, Any]]:
    yield node
    for below in node.get("Plans", ()):
        yield from walk(below)


def test_trails_are_told_of_nowhere() -> None:
    assert set(trails.TRAILS) == set(TRAILS) == {name for name in access.ENTRIES if name in ("Event", "AuditEntry")}

"""What somebody would try to learn of leads, pools, colleagues and their news that is not theirs to know."""

from __future__ import annotations

import json
from typing import Any

import pytest

from crmgql.viewer import Viewer
from tests.access.relations import PREFIXES
from tests.access.rules import TABLE_OF
from tests.access.test_attacks import hidden, same, sight
from tests.access.workshop import Company, person, role

SELLER = person(5)


def gid(prefix: str, row: dict[str, Any], column: str = "id") -> str:
    return f"{prefix}_{row[column].hex}"


def pooled(company: Company) -> list[dict[str, Any]]:
    """What is in a pool now and is a lead."""
    return [row for row in company.rows["pool_items"] if row["left_at"] is None and row["lead_id"]]


async def test_a_pooled_lead_shows_only_what_the_pool_shows(company: Company) -> None:
    """Attack: see a lead in the pool and read its name and address over every way there is to it."""
    query = """query ($item: ID!, $lead: ID!) { poolItem(id: $item) { shown lead { name email } customer { id } }
      lead(id: $lead) { name } node(id: $lead) { id } leads(where: {id: {eq: $lead}}) { totalCount }
      leadDuplicates(where: {or: [{lead: {id: {eq: $lead}}}, {other: {id: {eq: $lead}}}]}) { totalCount }
      assignmentDecisions(where: {lead: {id: {eq: $lead}}}) { totalCount } } """
    for viewer in (SELLER, role("MANAGER"), person(15)):
        for row in pooled(company):
            data = await company.data(query, viewer, {"item": gid("pit", row), "lead": gid("led", row, "lead_id")})
            assert data.pop("poolItem") == {"shown": json.loads(row["shown"]), "lead": None, "customer": None}
            nothing = {"totalCount": 0}
            assert data == {
                "lead": None,
                "node": None,
                "leads": nothing,
                "leadDuplicates": nothing,
                "assignmentDecisions": nothing,
            }


@pytest.mark.parametrize("form", ["lead: {%s}", "not: {lead: {%s}}", "pool: {items: {some: {lead: {%s}}}}"])
async def test_guessing_a_pooled_leads_address(company: Company, form: str) -> None:
    """Attack: narrow the e-mail of a lead in the pool down, letter by letter, with a filter on the item."""
    item = pooled(company)[0]
    lead = next(row for row in company.rows["leads"] if row["id"] == item["lead_id"])
    guesses = ["", "l", "z", lead["email"] or "lead", "nobody"]
    for operator in ("startsWith", "contains"):
        queries = [
            f'{{ poolItems(where: {{id: {{eq: "{gid("pit", item)}"}}, '
            f"{form % f'email: {{{operator}: {json.dumps(guess)}}}'}}}) {{ totalCount }} }}"
            for guess in guesses
        ]
        await same(company, SELLER, queries)


async def test_news_are_ones_own_even_for_an_administrator(company: Company) -> None:
    """Attack: be an administrator, and read what colleagues were told: as news, by id, by filter, or as the mail of it."""
    query = """{ notifications(first: 100) { totalCount nodes { user { id } } }
      emailMessages(first: 100, where: {user: {}, lead: null}) { totalCount nodes { body user { id } } } }"""
    for viewer in (role("ADMIN"), role("MARKETER"), role("MANAGER"), role("FINANCE")):
        data = await company.data(query, viewer)
        own = f"usr_{viewer.user_id.hex}"
        assert data["notifications"]["totalCount"] > 0
        for listed in data.values():
            assert {node["user"]["id"] for node in listed["nodes"]} <= {own}
        foreign = hidden(company, viewer, "Notification")[0]
        queries = [
            f'{{ x: notifications(where: {{user: {{id: {{eq: "{gid("usr", foreign, "user_id")}"}}}}, '
            f'title: {{startsWith: "{guess}"}}}}) {{ totalCount }} }}'
            for guess in ("", "For", "x")
        ]
        assert (await same(company, viewer, queries))["x"]["totalCount"] == 0


async def test_a_job_is_no_window_into_what_others_asked_for(company: Company) -> None:
    """Attack: read arguments, results and errors of the team's jobs, or of those that hang on one's own."""
    query = """{ jobs(first: 100) { nodes { actor { id } arguments result errorMessage
      parent { actor { id } } children(first: 10) { nodes { actor { id } arguments } } schedule { name } } } }"""
    for viewer in (SELLER, role("MANAGER"), person(4), role("FINANCE"), role("MARKETER")):
        nodes = (await company.data(query, viewer))["jobs"]["nodes"]
        own = {"id": f"usr_{viewer.user_id.hex}"}
        assert nodes
        for node in nodes:
            assert node["actor"] == own
            assert node["schedule"] is None
            assert node["parent"] in (None, {"actor": own})
            assert all(child["actor"] == own for child in node["children"]["nodes"])


async def test_a_pair_of_leads_takes_sight_of_both(company: Company) -> None:
    """Attack: learn of a colleague's lead that somebody with that address asked there too."""
    foreign = []
    for row in company.rows["lead_duplicates"]:
        leads = [
            next(lead for lead in company.rows["leads"] if lead["id"] == row[key]) for key in ("lead_id", "other_id")
        ]
        seen = [sight(company, SELLER).sees("Lead", lead) for lead in leads]
        foreign += [(row, leads[seen.index(True)])] if sorted(seen) == [False, True] else []
    assert len(foreign) > 2
    query = """query ($pair: ID!, $own: ID!) { leadDuplicate(id: $pair) { similarity }
      leads(where: {id: {eq: $own}, or: [{duplicates: {some: {id: {eq: $pair}}}}, {duplicateOf: {some: {id: {eq: $pair}}}}]})
      { totalCount } lead(id: $own) { duplicates { nodes { id } } duplicateOf { nodes { id } } } }"""
    for pair, own in foreign:
        data = await company.data(query, SELLER, {"pair": gid("dup", pair), "own": gid("led", own)})
        assert data["leadDuplicate"] is None
        assert data["leads"]["totalCount"] == 0
        assert gid("dup", pair) not in json.dumps(data["lead"])


async def test_a_decision_does_not_tell_who_is_ill(company: Company) -> None:
    """Attack: look at one's own leads for who was passed over, and why."""
    query = (
        "{ leads(first: 100) { nodes { routing { candidates rule { name } } decisions { nodes { candidates } } } } }"
    )
    for viewer in (SELLER, role("INTEGRATION"), person(17)):
        nodes = (await company.data(query, viewer))["leads"]["nodes"]
        decisions = [decision for node in nodes for decision in node["decisions"]["nodes"]]
        decisions += [node["routing"] for node in nodes if node["routing"]]
        assert decisions
        assert all(decision["candidates"] is None for decision in decisions)
    assert "ABSENT" in json.dumps(await company.data(query, role("MANAGER")))


async def test_a_task_is_no_key_to_what_it_is_about(company: Company) -> None:
    """Attack: be given a task about a foreign customer, deal or lead, and read that through the task."""
    query = "{ tasks(first: 100) { nodes { id customer { id } lead { id } opportunity { id } assignee { id } } } }"
    for viewer in (SELLER, role("SUPPORT"), role("FINANCE"), role("MARKETER")):
        seen = sight(company, viewer)
        kinds = {"customer": "Customer", "lead": "Lead", "opportunity": "Opportunity"}
        may = {
            name: {gid(PREFIXES[kind], row) for row in company.rows[TABLE_OF[kind]] if seen.sees(kind, row)}
            for name, kind in kinds.items()
        }
        nodes = (await company.data(query, viewer))["tasks"]["nodes"]
        assert nodes
        for node in nodes:
            assert node["assignee"] == {"id": f"usr_{viewer.user_id.hex}"}
            assert all(node[name] is None or node[name]["id"] in may[name] for name in kinds)


async def test_the_history_of_a_hidden_deal(company: Company) -> None:
    """Attack: have moved or been alerted of a deal that is now a colleague's, and follow its amounts."""
    query = "query ($id: ID!) { x: node(id: $id) { ... on %s { %s opportunity { name amount { amount } } } } }"
    for kind, prefix, table, field in (
        ("StageTransition", "stt", "stage_transitions", "amountAfter { amount }"),
        ("StaleAlert", "sta", "stale_alerts", "threshold"),
    ):
        seen = sight(company, SELLER)
        column = "actor_id" if kind == "StageTransition" else "user_id"
        theirs = [r for r in company.rows[table] if r[column] == SELLER.user_id and not seen.sees(kind, r)]
        assert theirs
        for row in theirs:
            assert await company.data(query % (kind, field), SELLER, {"id": gid(prefix, row)}) == {"x": None}


COSTS_OF_CAMPAIGNS = [
    'campaigns(where: {spend: {gt: "1"}})',
    "campaigns(where: {budget: {isNull: true}})",
    'leads(where: {campaign: {spend: {gt: "1"}}})',
    'intakeSources(where: {campaign: {not: {budget: {gt: "1"}}}})',
    'users(where: {leads: {some: {campaign: {spend: {gt: "1"}}}}})',
]


@pytest.mark.parametrize("attack", COSTS_OF_CAMPAIGNS)
@pytest.mark.parametrize("viewer", [SELLER, role("SUPPORT"), role("INTEGRATION")], ids=lambda v: min(v.roles))
async def test_what_a_campaign_costs_cannot_be_filtered_by(company: Company, attack: str, viewer: Viewer) -> None:
    """Attack: learn a campaign's budget by filtering, from the campaign or from what hangs on it."""
    assert await company.ask(f"{{ {attack} {{ totalCount }} }}", viewer) == "FORBIDDEN"
    sums = "{ campaigns { sums { spend { amount } budget { amount } } nodes { spend { amount } costPerLead { amount } } } }"
    data = (await company.data(sums, viewer))["campaigns"]
    assert data["sums"] == {"spend": [], "budget": []}
    assert all(node == {"spend": None, "costPerLead": None} for node in data["nodes"])

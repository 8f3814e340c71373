"""Pairs of leads that may be duplicates: found after a lead came in or changed, then merged or dismissed by a person.

The database finds candidates by index (equal e-mail, phone or domain, names that share trigrams); how similar they are is
computed here, on names without accents, titles and legal forms. A pair is one row, however often it is found.
"""

from __future__ import annotations

from typing import Any
from uuid import UUID

from crmgql.domain.leads import lead_contacts
from crmgql.events import outbox
from crmgql.models import Lead, LeadDuplicate
from crmgql.models.leads import OPEN_LEAD
from crmgql.records import records
from crmgql.records.moves import Move, Moves
from crmgql.records.records import Act, Row

MOVES = Moves(LeadDuplicate, dismiss=Move({"OPEN"}, "DISMISSED", "lead.duplicateDismissed"))
SAME_EMAIL, SAME_PHONE = 100, 95
LEAST_ALIKE, MOST_ALIKE = 60, 90
NAMES_ALIKE, COMPANIES_ALIKE = 0.5, 0.6
"""From this similarity on, two names are taken for one person's, two companies for one. “J. Smith” and “John Smith” share half
of their trigrams."""

BEST = 20
"""Pairs that one search may write: more would be a shared address, not duplicates."""

ROUGHLY_ALIKE = 0.3
"""Similarity of companies as typed: “Acme GmbH” and “Acme Ltd” share a third of their trigrams."""

NAMES_ROUGHLY_ALIKE = "SELECT set_config('pg_trgm.similarity_threshold', '0.4', true)"
"""The threshold of `%` in this transaction. Most companies share a legal form, names differ more: so the index is on names,
and companies are compared only where names are similar."""

CANDIDATES = f"""
WITH RECURSIVE hits AS (
    (SELECT id, merged_into_id FROM leads WHERE normal_email = $2 AND id <> $1 ORDER BY id DESC LIMIT {BEST})
    UNION
    (SELECT id, merged_into_id FROM leads WHERE normal_phone = $3 AND id <> $1 ORDER BY id DESC LIMIT {BEST})
    UNION
    (SELECT id, merged_into_id FROM leads
     WHERE domain = $4 AND id <> $1 ORDER BY similarity(name, $5) DESC, id DESC LIMIT {BEST})
    UNION
    (SELECT id, merged_into_id FROM leads
     WHERE name % $5 AND similarity(company, $6) >= {ROUGHLY_ALIKE} AND id <> $1
     ORDER BY similarity(name, $5) + similarity(company, $6) DESC, id DESC LIMIT {BEST})
), chains AS (
    SELECT id AS hit, id, merged_into_id FROM hits
    UNION ALL
    SELECT hit, next.* FROM chains
    CROSS JOIN LATERAL (SELECT id, merged_into_id FROM leads WHERE id = chains.merged_into_id LIMIT 1) next
)
SELECT hit, id AS survivor FROM chains WHERE merged_into_id IS NULL AND id <> $1"""
"""Leads that share something with $1, each with the lead that it was merged into in the end, or itself."""

NEXT = f"""
SELECT id FROM leads WHERE ($1::uuid IS NULL OR id > $1) AND ($2::text IS NULL OR source = $2)
    AND {OPEN_LEAD}
ORDER BY id LIMIT $3"""
HOLD = "SELECT * FROM leads WHERE id = ANY($1::uuid[]) ORDER BY id FOR SHARE"
"""Locked until the pairs are written, so that no pair names a lead that is being merged."""

PAIRS = """
INSERT INTO lead_duplicates (lead_id, other_id, reasons, similarity)
SELECT greatest($1::uuid, other_id), least($1::uuid, other_id), reasons::jsonb, similarity
FROM unnest($2::uuid[], $3::text[], $4::int[]) AS found (other_id, reasons, similarity)
ON CONFLICT (least(lead_id, other_id), greatest(lead_id, other_id)) DO NOTHING
RETURNING id, lead_id, other_id, similarity"""
CLOSE = "UPDATE lead_duplicates SET status = $2, settled_at = $3 WHERE id = $1"


async def find(act: Act, *, lead_id: UUID) -> dict[str, Any]:
    """Writes the pairs that this lead makes with others; pairs that exist stay as they are. May be run again."""
    lead = await records.visible(act, Lead, lead_id, field="leadId")
    keys = [lead[name] for name in ("normal_email", "normal_phone", "domain", "name", "company")]
    await act.tx.connection.execute(NAMES_ROUGHLY_ALIKE)
    hits = await act.tx.connection.fetch(CANDIDATES, lead_id, *keys)
    if not hits:
        return {"found": 0}
    wanted = {id for hit in hits for id in (hit["hit"], hit["survivor"])}
    rows = {row["id"]: dict(row) for row in await act.tx.connection.fetch(HOLD, [*wanted, lead_id])}
    lead = rows.pop(lead_id)
    best: dict[UUID, tuple[int, list[Row]]] = {}
    for hit in hits:
        survivor, judged = rows[hit["survivor"]], judge(lead, rows[hit["hit"]])
        if "MERGED" not in (lead["status"], survivor["status"]) and judged[0] > best.get(survivor["id"], (0, []))[0]:
            best[survivor["id"]] = judged
    ranked = sorted(best.items(), key=lambda item: (-item[1][0], item[0]))[:BEST]
    return {"found": await _write(act, lead_id, ranked)}


async def find_some(act: Act, *, after: UUID | None, limit: int, source: str | None = None) -> tuple[int, UUID | None]:
    """As `find`, for the next open leads by id, such as imported ones; returns the number of pairs and the last lead."""
    ids = [row["id"] for row in await act.tx.connection.fetch(NEXT, after, source, limit)]
    found = [await find(act, lead_id=id) for id in ids]
    return sum(each["found"] for each in found), ids[-1] if ids else None


def judge(lead: Row, other: Row) -> tuple[int, list[Row]]:
    """How similar two leads are, in per cent, and why, the strongest reason first; (0, []) if they are not."""
    reasons = []
    for column, field, similarity in (("normal_email", "email", SAME_EMAIL), ("normal_phone", "phone", SAME_PHONE)):
        if lead[column] is not None and lead[column] == other[column]:
            reasons.append({"field": field, "value": lead[column], "similarity": similarity})
    if reason := _alike(lead, other):
        reasons.append(reason)
    return (reasons[0]["similarity"], reasons) if reasons else (0, [])


def _alike(lead: Row, other: Row) -> Row | None:
    """The reason if the names suggest the same person at the same company."""
    names = lead_contacts.alike(lead_contacts.name(lead["name"]), lead_contacts.name(other["name"]))
    if names < NAMES_ALIKE:
        return None
    if lead["domain"] is not None and lead["domain"] == other["domain"]:
        companies, reason = 1.0, {"field": "domain", "value": lead["domain"]}
    else:
        mine, its = lead_contacts.company(lead["company"]), lead_contacts.company(other["company"])
        companies, reason = lead_contacts.alike(mine, its), {"field": "company", "value": other["company"]}
    if companies < COMPANIES_ALIKE:
        return None
    share = (names - NAMES_ALIKE + companies - COMPANIES_ALIKE) / (2 - NAMES_ALIKE - COMPANIES_ALIKE)
    similarity = round(LEAST_ALIKE + (MOST_ALIKE - LEAST_ALIKE) * share)
    return {**reason, "name": other["name"], "similarity": similarity}


async def _write(act: Act, lead_id: UUID, found: list[tuple[UUID, tuple[int, list[Row]]]]) -> int:
    """Inserts the new pairs of a lead, the later lead first, with their events; returns how many."""
    others, judged = [other_id for other_id, _ in found], [each for _, each in found]
    reasons = [outbox.as_json({"reasons": reasons}) for _, reasons in judged]
    similarities = [similarity for similarity, _ in judged]
    rows = await act.tx.connection.fetch(PAIRS, lead_id, others, reasons, similarities)
    await outbox.record_many(act.tx, act.viewer, [_found(row) for row in rows])
    return len(rows)


def _found(pair: Any) -> outbox.Entry:
    payload = {"leadId": pair["lead_id"], "otherId": pair["other_id"], "similarity": pair["similarity"]}
    return outbox.Entry(
        "lead.duplicateFound", ("LeadDuplicate", pair["id"]), changes={"status": (None, "OPEN")}, payload=payload
    )


async def dismiss(act: Act, *, id: UUID) -> UUID:
    """Marks a pair as two different leads; it is not found again. Raises `NotFound`, `IllegalTransition`."""
    pair, move = await MOVES.lock(act, "dismiss", id)
    await act.tx.connection.execute(CLOSE, id, move.target, act.now)
    changes = {"status": ("OPEN", move.target), "settled_at": (None, act.now)}
    payload = {"leadId": pair["lead_id"], "otherId": pair["other_id"]}
    subject = ("LeadDuplicate", id)
    await outbox.record_event(
        act.tx, act.viewer, kind=move.event, subject=subject, customer_id=None, changes=changes, payload=payload
    )
    return id

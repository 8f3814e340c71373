"""Erases a person: from all records, e-mails and notifications, and from the personal values of events and audit.

Enters: a customer that is a person, a contact, or a lead. Leaves: an `Erasure` with a tombstone for each record that was
blanked. Always holds: the other records of the same person are erased too (a contact's leads, a lead's contact, merged
leads); amounts, dates, states and ids stay, so that books and reports do not change; it takes one transaction and the same
number of statements whatever the number of records.

What stays: invoices and credit notes as they were issued; external ids of what the person bought, paid or asked for; e-mails that
were delivered; backups.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any
from uuid import UUID

from crmgql import access
from crmgql.errors import BadUserInput
from crmgql.events import outbox
from crmgql.models import Contact, Customer, Erasure, Lead
from crmgql.records import checks, records
from crmgql.records.records import Act

NAME = "Erased"
REASON = 300
KINDS = {"Customer": "customer.erased", "Contact": "contact.erased", "Lead": "lead.erased"}
MODELS = {"customer": Customer, "contact": Contact, "lead": Lead}

SAME_PERSON = """
WITH RECURSIVE found (record, id) AS (
    VALUES ($1::text, $2::uuid)
    UNION
    SELECT next.record, next.id FROM found CROSS JOIN LATERAL (
        SELECT 'Contact' AS record, id FROM contacts WHERE found.record = 'Customer' AND customer_id = found.id
        UNION ALL SELECT 'Lead', id FROM leads WHERE found.record = 'Customer' AND customer_id = found.id
        UNION ALL SELECT 'Customer', id FROM customers WHERE found.record = 'Customer' AND merged_into_id = found.id
        UNION ALL SELECT 'Customer', merged_into_id FROM customers
            WHERE found.record = 'Customer' AND id = found.id AND merged_into_id IS NOT NULL
        UNION ALL SELECT 'Lead', id FROM leads WHERE found.record = 'Contact' AND contact_id = found.id
        UNION ALL SELECT 'Lead', id FROM leads WHERE found.record = 'Lead' AND merged_into_id = found.id
        UNION ALL SELECT 'Lead', merged_into_id FROM leads
            WHERE found.record = 'Lead' AND id = found.id AND merged_into_id IS NOT NULL
        UNION ALL SELECT 'Contact', contact_id FROM leads
            WHERE found.record = 'Lead' AND id = found.id AND contact_id IS NOT NULL
        UNION ALL SELECT 'Customer', c.id FROM leads l JOIN customers c ON c.id = l.customer_id
            WHERE found.record = 'Lead' AND l.id = found.id AND c.kind = 'PERSON'
    ) next
)
SELECT record, id FROM found ORDER BY record, id"""


@dataclass(frozen=True, slots=True)
class Blank:
    """How a table's personal columns are blanked, and in which rows: $2 are customers, $3 contacts, $4 leads, $5 is now."""

    record: str
    table: str
    sets: str
    where: str
    versioned: bool = True

    @property
    def sql(self) -> str:
        counted = ", version = version + 1, updated_at = $5::timestamptz" if self.versioned else ""
        used = "$2::uuid[] IS NOT NULL AND $3::uuid[] IS NOT NULL AND $4::uuid[] IS NOT NULL AND $5::timestamptz IS NOT NULL"
        return (
            f"WITH gone AS (UPDATE {self.table} SET {self.sets}{counted} WHERE ({self.where}) AND {used} RETURNING id)"
            f" INSERT INTO tombstones (erasure_id, subject_type, subject_id) SELECT $1, '{self.record}', id FROM gone"
        )


OF_PERSON = "customer_id = ANY ($2) OR contact_id = ANY ($3)"
OF_CUSTOMER = "customer_id = ANY ($2)"
OF_EITHER = "customer_id = ANY ($2) OR lead_id = ANY ($4)"
SCORED = f"score_factors <> '[]' AND ({OF_PERSON})"
"""Factors quote the contact's title. The next sweep scores open opportunities again."""

MAIL = "to_address = 'erased@invalid', subject = 'Erased', body = '', error = NULL,"
MAIL += " status = CASE status WHEN 'PENDING' THEN 'SKIPPED' ELSE status END"
NOTICES = f"{OF_EITHER} OR opportunity_id IN (SELECT id FROM opportunities WHERE {OF_CUSTOMER})"
DIGESTS = f"""id IN (
    SELECT e.id FROM email_messages e JOIN (SELECT user_id, title FROM notifications WHERE {NOTICES}) n ON n.user_id = e.user_id
    WHERE strpos(e.subject, n.title) > 0 OR strpos(e.body, n.title) > 0)"""
SUSPENDED = f"id IN (SELECT suspense_id FROM payments WHERE {OF_CUSTOMER})"
WAS_SUSPENDED = f"suspense_id IN (SELECT suspense_id FROM payments WHERE {OF_CUSTOMER})"
"""A line whose money waited in suspense names no customer, though it is known by now."""

UNERASED = f"explanation <> '{NAME}' AND lead_id = ANY ($4)"
STOPPED = f"dunning_stop_reason = CASE WHEN dunning_stop_reason IS NOT NULL THEN '{NAME}' END"
PLACE = "city = NULL, state = NULL, postal_code = NULL"
LEAD = "external_id = NULL, company = NULL, title = NULL, email = NULL, phone = NULL, website = NULL, city = NULL, message = NULL,"
LEAD += " attributes = '{}', normal_email = NULL, normal_phone = NULL, domain = NULL, email_opt_out = true,"
LEAD += f" lost_reason = CASE WHEN lost_reason IS NOT NULL THEN '{NAME}' END"

BLANKS = (
    Blank(
        "Customer",
        "customers",
        f"name = '{NAME}', external_id = NULL, email = NULL, phone = NULL, website = NULL, notes = NULL, billing_address = NULL,"
        f" tax_id = NULL, {STOPPED}, merge_reason = CASE WHEN merge_reason IS NOT NULL THEN '{NAME}' END, {PLACE}",
        "id = ANY ($2)",
    ),
    Blank(
        "Contact",
        "contacts",
        f"name = '{NAME}', external_id = NULL, title = NULL, email = NULL, phone = NULL",
        "id = ANY ($3)",
    ),
    Blank("Lead", "leads", f"name = '{NAME}', {LEAD}", "id = ANY ($4)"),
    Blank("Interaction", "interactions", f"subject = '{NAME}', body = NULL", OF_PERSON),
    Blank("Ticket", "tickets", f"subject = '{NAME}', description = NULL", OF_PERSON),
    Blank("Task", "tasks", f"subject = '{NAME}', description = NULL", OF_EITHER),
    Blank(
        "Opportunity",
        "opportunities",
        f"name = '{NAME}', lost_reason = CASE WHEN lost_reason IS NOT NULL THEN '{NAME}' END",
        OF_CUSTOMER,
    ),
    Blank("Opportunity", "opportunities", "score_factors = '[]', stale_known = false", SCORED, False),
    Blank("Order", "orders", "note = NULL", OF_CUSTOMER),
    Blank("Contract", "contracts", f"title = '{NAME}', parties = NULL", OF_CUSTOMER),
    Blank("Invoice", "invoices", "note = NULL", f"status = 'DRAFT' AND {OF_CUSTOMER}"),
    Blank("Invoice", "invoices", STOPPED, f"dunning_stop_reason IS NOT NULL AND {OF_CUSTOMER}"),
    Blank("Payment", "payments", "reference = NULL", OF_CUSTOMER),
    Blank(
        "BankLine",
        "bank_lines",
        "name = NULL, counterparty = NULL, texts = '{}', end_to_end_id = NULL",
        f"num_nonnulls(name, counterparty, end_to_end_id) + cardinality(texts) > 0 AND ({OF_CUSTOMER} OR {WAS_SUSPENDED})",
    ),
    Blank("BankSuggestion", "bank_suggestions", "reasons = '{}', labels = '{}'", OF_CUSTOMER, False),
    Blank("Refund", "refunds", "reason = NULL, status_reason = NULL", OF_CUSTOMER),
    Blank("Dispute", "disputes", "reason = NULL", OF_CUSTOMER),
    Blank("SuspenseReceipt", "suspense_receipts", "payer = NULL, reference = NULL, status_reason = NULL", SUSPENDED),
    Blank(
        "ReconciliationException", "reconciliation_exceptions", "reason = NULL", f"reason IS NOT NULL AND {OF_CUSTOMER}"
    ),
    Blank("WriteOff", "write_offs", "reason = NULL", f"reason IS NOT NULL AND {OF_CUSTOMER}", False),
    Blank("LeadDuplicate", "lead_duplicates", "reasons = '{}'", "lead_id = ANY ($4) OR other_id = ANY ($4)", False),
    Blank("EmailMessage", "email_messages", MAIL, f"{OF_EITHER} OR {DIGESTS}", False),
    Blank("Notification", "notifications", f"title = '{NAME}', body = NULL", NOTICES, False),
    Blank("PoolItem", "pool_items", "shown = '{}'", OF_EITHER, False),
    Blank("PoolMove", "pool_moves", "reason = NULL", f"reason IS NOT NULL AND ({OF_EITHER})", False),
    Blank("AssignmentDecision", "assignment_decisions", f"explanation = '{NAME}'", UNERASED, False),
    Blank("LeadTransition", "lead_transitions", "reason = NULL", "reason IS NOT NULL AND lead_id = ANY ($4)", False),
)
"""In this order: notifications after the e-mails that quote them, append-only rows after the records that they are about."""

FORGET = """
UPDATE {} SET personal = NULL, salt = NULL
WHERE personal IS NOT NULL
    AND (customer_id = ANY ($2) OR subject_id = ANY (ARRAY(SELECT subject_id FROM tombstones WHERE erasure_id = $1)))"""
EXPIRE_EXPORTS = "UPDATE exports SET expires_at = $1 WHERE expires_at > $1"
"""Nobody knows whom an export names. Those that are being written see the erasure when they are finished."""

COUNT = "SELECT count(*) FROM tombstones WHERE erasure_id = $1"
CUSTOMERS_OF = """
SELECT id, id AS customer_id, version FROM customers WHERE id = ANY ($1)
UNION ALL SELECT id, customer_id, version FROM contacts WHERE id = ANY ($1)
UNION ALL SELECT id, customer_id, version FROM leads WHERE id = ANY ($1)"""


async def erase(
    act: Act,
    *,
    customer_id: UUID | None = None,
    contact_id: UUID | None = None,
    lead_id: UUID | None = None,
    reason: str | None = None,
) -> UUID:
    """Blanks the person's values; returns the erasure. Raises `BadUserInput`, `NotFound`, `Forbidden`.

    A second erasure blanks what was written since the first.
    """
    access.require_write(act.viewer, "Erasure")
    checks.check_text(reason or "", "reason", longest=REASON)
    record, id = await _seed(act, {"customer": customer_id, "contact": contact_id, "lead": lead_id})
    await records.allow_long_statements(act)
    people = await act.tx.connection.fetch(SAME_PERSON, record, id)
    values = {"actor_id": act.viewer.actor_id, "reason": reason, "erased_at": act.now}
    erasure = await records.insert(act, Erasure, {name: value for name, value in values.items() if value is not None})
    await _blank(act, erasure["id"], people)
    await _record(act, erasure["id"], people)
    return erasure["id"]  # type: ignore[no-any-return]


async def _seed(act: Act, ids: dict[str, UUID | None]) -> tuple[str, UUID]:
    """The one record that is named, locked."""
    named = [(noun, id) for noun, id in ids.items() if id is not None]
    if len(named) != 1:
        raise BadUserInput("Name a customer, a contact or a lead, one of them.", field="customerId")
    noun, id = named[0]
    row = await records.visible(act, MODELS[noun], id, field=f"{noun}Id", steady=True)
    if noun == "customer" and row["kind"] != "PERSON":
        raise BadUserInput("This customer is a company; erase its contacts, or make it a PERSON.", field="customerId")
    return MODELS[noun].__name__, id


async def _blank(act: Act, erasure_id: UUID, people: list[Any]) -> None:
    ids = [[row["id"] for row in people if row["record"] == record] for record in ("Customer", "Contact", "Lead")]
    for blank in BLANKS:
        await act.tx.connection.execute(blank.sql, erasure_id, *ids, act.now)
    await act.tx.connection.execute(EXPIRE_EXPORTS, act.now)
    for relation in ("events", "audit_entries"):
        await act.tx.connection.execute(FORGET.format(relation), erasure_id, ids[0])


async def _record(act: Act, erasure_id: UUID, people: list[Any]) -> None:
    """Records one event for the erasure, and one for each of the person's records."""
    count = await act.tx.connection.fetchval(COUNT, erasure_id)
    found = await act.tx.connection.fetch(CUSTOMERS_OF, [row["id"] for row in people])
    current = {row["id"]: row for row in found}
    entries = [outbox.Entry("person.erased", ("Erasure", erasure_id), payload={"records": count})]
    for row in people:
        record = current[row["id"]]
        payload = {"version": record["version"], "erasureId": erasure_id}
        kind = KINDS[row["record"]]
        entries.append(outbox.Entry(kind, (row["record"], row["id"]), record["customer_id"], payload=payload))
    await outbox.record_many(act.tx, act.viewer, entries)

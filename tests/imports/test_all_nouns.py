"""Each noun is imported once, with a reference of every kind, and again without a change."""

from __future__ import annotations

from crmgql.imports import nouns
from tests.imports.conftest import Workshop

STEPS = {
    "users": 'name = "U"\nemail = "u@x.org"\nroles = ["ADMIN", "SELLER"]\nactive = true\nsalary_amount = "1000"',
    "teams": 'name = "T"\nmanager = { template = "{id}", by = "external_id" }',
    "products": 'name = "P"\nsku = "P-1"\nprice_amount = 5\nspecs = { object = { size = "{n}" } }',
    "customers": 'name = "C"\nowner = { template = "{mail}", by = "email" }',
    "contacts": 'name = "K"\ncustomer = "{id}"\nprimary = "yes"',
    "opportunities": 'name = "O"\ncontact = "{id}"\nproduct = { template = "P-1", by = "sku" }\nexpected_close = 2026-05-01',
    "stage_transitions": 'opportunity = "{id}"\nto_stage = { template = "Sales/Prospecting", by = "name" }\n'
    "occurred_at = 2026-04-01",
    "campaigns": 'name = "M"\nchannel = "EVENT"\nspend_amount = "12.5"\nowner = { template = "U", by = "name" }',
    "leads": 'name = "L"\nemail = "{mail}"\ncampaign = { template = "M", by = "name" }\ncontact = "{id}"\nowner = "{id}"\n'
    'opportunity = "{id}"\nbudget_amount = 100\nattributes = { object = { size = "{n}" } }',
    "orders": 'customer = "{id}"\nopportunity = "{id}"\nordered_at = "2026-01-01 10:00"',
    "order_lines": 'order = { template = "{id}", by = "number" }\nposition = "{n}"\ndescription = "L"\nunit_price_amount = 7',
    "invoices": 'customer = "{id}"\nnumber = "R-1"\nsubtotal_amount = 7\nissued_on = 2026-01-01\ndue_on = 2026-01-31',
    "payments": 'order = "{id}"\namount = 7\nmethod = "CASH"\nreceived_at = 2026-01-02',
    "credit_notes": 'invoice = { template = "R-1", by = "number" }\nnumber = "CN-1"\nreason = "Broken"\nnet_amount = 2\nissued_on = 2026-01-02',
    "allocations": 'payment = "{id}"\ninvoice = "{id}"\namount = 3',
    "commissions": 'payment = "{id}"\nseller = { template = "U", by = "name" }\nbase_amount = 7\nrate = "0.05"\namount = "0.35"\n'
    'earned_at = "2026-01-02"',
    "fx_rates": 'currency = "NOK"\neffective_on = 2026-01-01\nrate = "1.25"',
    "interactions": 'contact = "{id}"\nkind = "CALL"\nsubject = "S"\noccurred_at = "2026-01-03T08:00:00Z"',
    "tickets": 'order = "{id}"\nsubject = "Q"\nstatus = "CLOSED"\nresolved_at = "2026-01-04"',
}

EVENTS = [
    "user.created",
    "team.created",
    "product.created",
    "customer.created",
    "contact.created",
    "opportunity.created",
    "stageTransition.recorded",
    "campaign.created",
    "lead.created",
    "order.created",
    "order.linesSet",
    "invoice.issued",
    "payment.received",
    "creditNote.issued",
    "allocation.made",
    "commission.recorded",
    "rate.set",
    "interaction.logged",
    "ticket.opened",
]


async def test_every_noun(shop: Workshop) -> None:
    assert STEPS.keys() == nouns.WRITERS.keys()
    shop.file("all.csv", "id,n,mail\nx1,1,U@X.ORG\n")
    mapping = 'source = "test"\ncurrency = "EUR"\n' + "".join(
        f'[[step]]\nnoun = "{noun}"\nfile = "all.csv"\nexternal_id = "{{id}}"\n[step.fields]\n{fields}\n'
        for noun, fields in STEPS.items()
    )
    first = await shop.run(mapping)
    assert shop.rejects() == []
    assert first.total.inserted == len(STEPS)
    recorded = [kind for (kind,) in await shop.rows("SELECT kind FROM events ORDER BY id") if kind != "import.finished"]
    assert recorded == EVENTS
    again = await shop.run(mapping)
    assert again.total.unchanged == len(STEPS)
    await shop.run(mapping.replace('rate = "0.05"', 'rate = "0.06"'))
    (last,) = (await shop.rows("SELECT kind FROM events WHERE kind <> 'import.finished' ORDER BY id"))[-1]
    assert last == "commission.updated"
    for noun in (
        "order_lines",
        "payments",
        "commissions",
        "interactions",
        "tickets",
        "opportunities",
        "stage_transitions",
        "leads",
    ):
        query = f"SELECT c.name FROM {noun} t JOIN customers c ON c.id = t.customer_id"
        assert await shop.value(query) == "C", noun
    assert await shop.value("SELECT total_amount::text FROM orders") == "7.00"
    assert await shop.value("SELECT specs::text FROM products") == '{"size": "1"}'
    assert await shop.value("SELECT salary_currency FROM users") == "EUR"


async def test_a_verdict_at_the_commit_is_a_reject_too(shop: Workshop) -> None:
    """A constraint that waits for the commit strikes while the row at fault can still be told."""
    await shop.connection.execute(
        "CREATE FUNCTION no_bob() RETURNS trigger LANGUAGE plpgsql AS"
        " $$ BEGIN IF NEW.name = 'Bob' THEN RAISE EXCEPTION 'no Bob here'; END IF; RETURN NULL; END $$"
    )
    await shop.connection.execute(
        "CREATE CONSTRAINT TRIGGER no_bob AFTER INSERT ON customers DEFERRABLE INITIALLY DEFERRED"
        " FOR EACH ROW EXECUTE FUNCTION no_bob()"
    )
    try:
        shop.file("people.csv", "id,name\n1,Ann\n2,Bob\n3,Cy\n")
        await shop.run(
            'source = "test"\ncurrency = "EUR"\n[[step]]\nnoun = "customers"\nfile = "people.csv"\nexternal_id = "{id}"\n'
            '[step.fields]\nname = "{name}"\n'
        )
    finally:
        await shop.connection.execute("DROP TRIGGER no_bob ON customers")
        await shop.connection.execute("DROP FUNCTION no_bob")
    assert [(reject["line"], reject["reason"]) for reject in shop.rejects()] == [
        ("3", "refused by the database: no Bob here")
    ]
    assert await shop.value("SELECT count(*) FROM customers") == 2

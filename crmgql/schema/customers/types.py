"""Customers and their contacts."""

from crmgql import models
from crmgql.engine.declare import column, many, money, node, one
from crmgql.engine.scalars import EmailAddress, Url
from crmgql.schema.customers import aggregates, receivables


@node(models.Customer)
class Customer:
    """A company or a person that buys, or might."""

    name = column(sort=True)
    kind = column(enum=models.CustomerKind)
    status = column(enum=models.CustomerStatus)
    email = column(sort=True, input=EmailAddress)
    phone = column()
    website = column(input=Url)
    industry = column()
    segment = column(doc="What sort of customer it is to the company, such as “key account”. Plans may pay by it.")
    region = column()
    country = column()
    state = column()
    city = column()
    postal_code = column()
    currency = column(doc="The currency this customer usually trades in.")
    founded_year = column()
    employee_count = column()
    annual_revenue = money()
    credit_limit = money(doc="How much the customer may owe, in its own currency.")
    credit_policy = column(enum=models.CreditPolicy, doc="What happens when an order would lead past the credit limit.")
    notes = column(filter=False)
    billing_address = column(filter=False, doc="As it is printed on invoices, with line breaks.")
    tax_id = column()
    payment_terms = column(doc="Such as NET 30; without any, the company's.")
    language = column(enum=models.Language, doc="Of what is sent to it, such as invoices; without one, the company's.")
    timezone = column(
        doc="An IANA name, such as Asia/Tokyo: whose days count where something ends early. Without one, the company's."
    )
    dunning_stop_reason = column(filter=False, doc="Why it is not reminded of what is overdue. Null: it is.")
    owner = one("The seller who looks after this customer.")
    parent = one()
    subsidiaries = many("Customer", "parent")
    merged_into = one("The customer that it was merged into, and lives on in.")
    merged = many(
        "Customer", "merged_into", "Customers that were merged into this one, with their history.", order="-id"
    )
    merge_reason = column(filter=False, doc="Why it was merged.")
    contacts = many("Contact", "customer")
    opportunities = many("Opportunity", "customer")
    orders = many("Order", "customer", order="-orderedAt")
    payments = many("Payment", "customer", order="-receivedAt")
    invoices = many("Invoice", "customer")
    credit_notes = many("CreditNote", "customer")
    commissions = many("Commission", "customer", order="-earnedAt")
    interactions = many("Interaction", "customer", order="-occurredAt")
    tickets = many("Ticket", "customer")
    leads = many("Lead", "customer", "The leads this customer came from.")
    tasks = many("Task", "customer")
    ledger_entries = many("LedgerEntry", "customer")
    pool = one()
    protected_until = column()
    order_count = aggregates.order_count()
    lifetime_value = aggregates.lifetime_value()
    outstanding = receivables.outstanding()
    overdue = receivables.overdue()
    oldest_due_on = receivables.oldest_due_on()
    credit_balance = receivables.credit_balance()
    unearned = receivables.unearned()
    receivables = receivables.receivables()
    currencies = aggregates.currencies()
    last_activity_at = aggregates.last_activity_at()


@node(models.Contact)
class Contact:
    """A person at a customer."""

    name = column(sort=True)
    title = column()
    email = column(input=EmailAddress)
    phone = column()
    primary = column(doc="Whether this is the customer's primary contact; at most one is.")
    customer = one()
    interactions = many("Interaction", "contact", order="-occurredAt")
    opportunities = many("Opportunity", "contact")
    tickets = many("Ticket", "contact")

"""Mutations of customers and their contacts."""

from __future__ import annotations

from crmgql.domain.customers import contacts, customers
from crmgql.engine import inputs, mutations
from crmgql.engine.mutations import Row

mutations.table(
    "Customer",
    Row(
        "customerCreate",
        "Makes a customer.",
        customers.create,
        input=inputs.create(customers.FACTS, doc="Without an owner it is yours if you sell or manage."),
    ),
    Row(
        "customerUpdate",
        "Changes what the input names, owner and status included.",
        customers.update,
        input=inputs.update(customers.FACTS),
    ),
)

mutations.table(
    "Contact",
    Row(
        "contactCreate",
        "Makes a contact; a primary one replaces the primary contact before it.",
        contacts.create,
        input=inputs.create("customer_id", contacts.FACTS, "primary"),
    ),
    Row("contactUpdate", "Changes what the input names.", contacts.update, input=inputs.update(contacts.FACTS)),
    Row(
        "contactMakePrimary",
        "Makes this the customer's primary contact, in place of the one before.",
        contacts.make_primary,
    ),
)

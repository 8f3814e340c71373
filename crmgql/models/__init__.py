"""Tortoise models: shape only."""

from crmgql.models.catalog import Product, ProductStatus
from crmgql.models.commissions import Commission, CommissionStatus
from crmgql.models.customers import (
    Contact,
    Customer,
    CustomerKind,
    CustomerStatus,
    Interaction,
    InteractionKind,
    Ticket,
    TicketPriority,
    TicketStatus,
)
from crmgql.models.events import AuditEntry, Event, IdempotencyRecord, ImportRun, ImportStatus
from crmgql.models.opportunities import Opportunity, OpportunityStage
from crmgql.models.orders import Order, OrderLine, OrderStatus
from crmgql.models.payments import Payment, PaymentMethod, PaymentStatus
from crmgql.models.people import ApiKey, LoginAttempt, Role, Session, Team, User

__all__ = [
    "ApiKey",
    "AuditEntry",
    "Commission",
    "CommissionStatus",
    "Contact",
    "Customer",
    "CustomerKind",
    "CustomerStatus",
    "Event",
    "IdempotencyRecord",
    "ImportRun",
    "ImportStatus",
    "Interaction",
    "InteractionKind",
    "LoginAttempt",
    "Opportunity",
    "OpportunityStage",
    "Order",
    "OrderLine",
    "OrderStatus",
    "Payment",
    "PaymentMethod",
    "PaymentStatus",
    "Product",
    "ProductStatus",
    "Role",
    "Session",
    "Team",
    "Ticket",
    "TicketPriority",
    "TicketStatus",
    "User",
]

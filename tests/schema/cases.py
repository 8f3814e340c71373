"""One input per mutation that is right for whoever sends it, as long as they may change such records at all."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from decimal import Decimal
from importlib import import_module
from pathlib import Path
from typing import Any

from tests.schema.world import World, id_of, money

Case = Callable[[World, str], Awaitable[dict[str, Any]]]

EVERYBODY = "ADMIN FINANCE MANAGER SELLER SUPPORT MARKETER INTEGRATION PAYROLL"
WITH_CUSTOMERS = "ADMIN FINANCE MANAGER SELLER SUPPORT MARKETER INTEGRATION"
SALES = "ADMIN MANAGER SELLER INTEGRATION"
SERVICE = "ADMIN MANAGER SELLER SUPPORT INTEGRATION"
ORDERING = "ADMIN FINANCE MANAGER SELLER INTEGRATION"
BOOKS = "ADMIN FINANCE INTEGRATION"
ADDRESS_BOOK = "ADMIN MANAGER SELLER SUPPORT MARKETER INTEGRATION"
ADMIN = "ADMIN"

CASES: dict[str, tuple[str, Case]] = {}
"""Mutation → (the roles that may, the case). Written out, so that the rules in `access` have a second opinion."""

EVENTS: dict[str, int] = {}
"""Mutation → how many events its case writes."""


def case(name: str, roles: str, *, events: int = 1) -> Callable[[Case], Case]:
    def noted(make: Case) -> Case:
        CASES[name], EVENTS[name] = (roles, make), events
        return make

    return noted


def move(
    mutation: str, roles: str, make: Callable[[World], Awaitable[str]], /, *, events: int = 1, **more: Any
) -> None:
    @case(mutation, roles, events=events)
    async def moved(world: World, role: str) -> dict[str, Any]:
        return {"id": await make(world), **more}


def load() -> None:
    """Imports the other nouns' cases, `cases_*.py`, which note themselves here."""
    for module in sorted(Path(__file__).parent.glob("cases_*.py")):
        import_module(f"{__package__}.{module.stem}")


@case("customerCreate", WITH_CUSTOMERS)
async def customer_create(world: World, role: str) -> dict[str, Any]:
    return {"name": "Acme", "parentId": await world.customer()}


@case("contactCreate", ADDRESS_BOOK)
async def contact_create(world: World, role: str) -> dict[str, Any]:
    return {"customerId": await world.customer(), "name": "Ann"}


@case("interactionLog", WITH_CUSTOMERS)
async def interaction_log(world: World, role: str) -> dict[str, Any]:
    customer = await world.customer()
    given = {"customerId": customer, "kind": "CALL", "subject": "Hello"}
    if role not in ("SUPPORT", "MARKETER"):
        given["opportunityId"] = await world.opportunity(customer=customer)
    return {**given, "contactId": await world.contact(customer)}


@case("ticketOpen", SERVICE)
async def ticket_open(world: World, role: str) -> dict[str, Any]:
    customer = await world.customer()
    return {
        "customerId": customer,
        "subject": "Broken",
        "contactId": await world.contact(customer),
        "orderId": await world.order(customer=customer),
    }


@case("ticketAssign", SERVICE)
async def ticket_assign(world: World, role: str) -> dict[str, Any]:
    return {"id": await world.ticket(), "assigneeId": id_of("User", world.people[role])}


@case("productCreate", BOOKS)
async def product_create(world: World, role: str) -> dict[str, Any]:
    return {"name": "Anvil", "price": money("1.00")}


@case("opportunityCreate", SALES)
async def opportunity_create(world: World, role: str) -> dict[str, Any]:
    customer = await world.customer()
    contact, product = await world.contact(customer), await world.product()
    return {"name": "Deal", "customerId": customer, "contactId": contact, "productId": product}


@case("orderCreate", ORDERING)
async def order_create(world: World, role: str) -> dict[str, Any]:
    customer = await world.customer()
    product = await world.product(price_amount=Decimal("1.00"))
    return {"customerId": customer, "lines": [{"quantity": "1", "productId": product, "unitPrice": money("2.00")}]}


@case("orderSetLines", ORDERING)
async def order_set_lines(world: World, role: str) -> dict[str, Any]:
    return {"id": await world.order(), "lines": [{"quantity": "3", "description": "New", "unitPrice": money("2.00")}]}


@case("paymentRecord", BOOKS, events=2)
async def payment_record(world: World, role: str) -> dict[str, Any]:
    return {"orderId": await world.order("CONFIRMED"), "amount": money("5.00"), "method": "CASH"}


@case("userCreate", ADMIN)
async def user_create(world: World, role: str) -> dict[str, Any]:
    return {"name": "New", "roles": ["SELLER"], "teamId": id_of("Team", world.team)}


@case("teamCreate", ADMIN)
async def team_create(world: World, role: str) -> dict[str, Any]:
    manager = id_of("User", world.people["MANAGER"])
    return {"name": "New", "parentId": id_of("Team", world.team), "managerId": manager}


@case("apiKeyCreate", ADMIN)
async def api_key_create(world: World, role: str) -> dict[str, Any]:
    return {"userId": id_of("User", world.people["INTEGRATION"]), "name": "Key", "scopes": ["customers:read"]}


async def some_user(world: World) -> str:
    return id_of("User", await world.user("SELLER"))


async def idle_user(world: World) -> str:
    return id_of("User", await world.user("SELLER", active=False))


async def some_team(world: World) -> str:
    return id_of("Team", await world.insert("teams", name="South"))


move("customerUpdate", WITH_CUSTOMERS, World.customer, name="Other", status="CUSTOMER")
move("contactUpdate", ADDRESS_BOOK, World.contact, title="CTO")
move("contactMakePrimary", ADDRESS_BOOK, World.contact)
move("interactionUpdate", WITH_CUSTOMERS, World.interaction, subject="Other")
move("ticketUpdate", SERVICE, World.ticket, subject="Other")
move("ticketHold", SERVICE, World.ticket)
move("ticketResolve", SERVICE, World.ticket)
move("ticketReopen", SERVICE, lambda world: world.ticket("CLOSED"))
move("ticketClose", SERVICE, lambda world: world.ticket("RESOLVED"))
move("productUpdate", BOOKS, World.product, name="Other")
move("productActivate", BOOKS, lambda world: world.product("DRAFT"))
move("productRetire", BOOKS, World.product)
move("opportunityUpdate", SALES, World.opportunity, name="Other")
move("opportunityWin", SALES, World.opportunity)
move("opportunityLose", SALES, World.opportunity, reason="Too dear")
move("opportunityReopen", SALES, lambda world: world.opportunity("LOST"))
move("orderUpdate", ORDERING, World.order, note="Other")
move("orderConfirm", ORDERING, World.order)
move("orderAmend", ORDERING, lambda world: world.order("CONFIRMED"), reason="Fewer", discount=money("2.00"))
move("orderProcess", ORDERING, lambda world: world.order("CONFIRMED"))
move("orderInvoice", ORDERING, lambda world: world.order("CONFIRMED"))
move("orderShip", ORDERING, lambda world: world.order("CONFIRMED"))
move("orderDeliver", ORDERING, lambda world: world.order("SHIPPED"))
move("orderHold", ORDERING, lambda world: world.order("CONFIRMED"))
move("orderCancel", ORDERING, World.order)
move("paymentUpdate", BOOKS, World.payment, reference="Other")
move("paymentReceive", BOOKS, World.payment, events=2)
move("paymentFail", BOOKS, World.payment)
move("paymentCancel", BOOKS, World.payment)
move("userUpdate", ADMIN, some_user, name="Other")
move("userDeactivate", ADMIN, some_user)
move("userReactivate", ADMIN, idle_user)
move("teamUpdate", ADMIN, some_team, name="Other")
move("apiKeyRevoke", ADMIN, World.api_key)

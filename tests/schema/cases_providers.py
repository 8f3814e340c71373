"""Cases of accounts at payment providers, and of what these say."""

from __future__ import annotations

from typing import Any
from uuid import uuid4

from crmgql.domain.money.hooks import sealing
from crmgql.domain.webhooks.keys import KEYS
from tests.schema.cases import ADMIN, case, move
from tests.schema.world import NOW, SECRET, World, id_of, uuid_of

FINANCE = "ADMIN FINANCE"
WHSEC = "whsec_" + "s" * 32


async def account(world: World, **values: Any) -> str:
    KEYS.use(SECRET)
    secret = sealing.sealed([sealing.Secret(WHSEC)], "STRIPE")
    given = {"name": f"Shop {uuid4().hex}", "provider": "STRIPE", "secrets_sealed": secret, "secret_set_at": NOW}
    return id_of("PaymentAccount", await world.insert("payment_accounts", **given, **values))


async def waiting(world: World) -> str:
    """A payment of which nobody knows whose it is."""
    reference = f"pi_{uuid4().hex}"
    given = {
        "account_id": uuid_of(await account(world)),
        "provider": "STRIPE",
        "post_id": uuid4(),
        "event_id": f"evt_{reference}",
        "kind": "PAYMENT_SUCCEEDED",
        "raw_kind": "payment_intent.succeeded",
        "rank": 50,
        "occurred_at": NOW,
        "success": True,
        "live": True,
        "names": [reference],
        "reference": reference,
        "also": [],
        "amount": 5,
        "currency": "JPY",
        "cumulative": False,
        "status": "WAITING",
        "retry_at": NOW,
    }
    return id_of("ProviderEvent", await world.insert("provider_events", **given))


@case("paymentAccountCreate", ADMIN)
async def payment_account_create(world: World, role: str) -> dict[str, Any]:
    KEYS.use(SECRET)
    return {"name": f"Shop {uuid4().hex}", "provider": "STRIPE", "secrets": [WHSEC]}


@case("providerEventAssign", FINANCE, events=2)
async def provider_event_assign(world: World, role: str) -> dict[str, Any]:
    return {"id": await waiting(world), "customerId": await world.customer()}


move("paymentAccountUpdate", ADMIN, account, orderSource="shop")
move("paymentAccountRotateSecret", ADMIN, account, secret="whsec_" + "n" * 32)
move("paymentAccountDisable", ADMIN, account)
move("providerEventReplay", FINANCE, waiting)

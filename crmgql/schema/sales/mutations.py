"""Mutations of orders."""

from __future__ import annotations

import strawberry

from crmgql.domain.money import amendments
from crmgql.domain.sales import contracts, credit, orders
from crmgql.engine import inputs, mutations
from crmgql.engine.inputs import UNSET, MoneyInput, input, part
from crmgql.engine.mutations import Row
from crmgql.engine.scalars import DateText, DecimalText


@part(orders.Line)
class OrderLineInput:
    """A line. Without a unit price it takes the product's, without a description the product's name."""

    quantity: DecimalText
    product_id: strawberry.ID | None = UNSET
    description: str | None = UNSET
    unit_price: MoneyInput | None = UNSET
    discount: MoneyInput | None = UNSET
    shipping: MoneyInput | None = UNSET


@input
class OrderSetLinesInput:
    id: strawberry.ID
    lines: list[OrderLineInput]
    expected_version: int | None = UNSET


@input
class OrderAmendInput:
    """What is left out stays. `lines`: all lines that the order has from now on."""

    id: strawberry.ID
    reason: str
    lines: list[OrderLineInput] | None = UNSET
    tax: MoneyInput | None = UNSET
    discount: MoneyInput | None = UNSET
    expected_version: int | None = UNSET


@input
class OrderMoveInput:
    id: strawberry.ID
    expected_version: int | None = UNSET
    reason: str | None = UNSET


@input
class CreditApproveInput:
    """The order, and why it may lead past its customer's credit limit."""

    id: strawberry.ID
    reason: str
    expected_version: int | None = UNSET


mutations.table(
    "Order",
    Row(
        "orderCreate",
        "Makes a draft order; the totals are computed from its lines.",
        orders.create,
        input=inputs.create(
            "customer_id currency opportunity_id ordered_at",
            orders.FACTS,
            also={"lines": list[OrderLineInput]},
            optional="currency number seller_id ordered_at tax discount",
            doc="An opportunity without a customer gets the order's.",
        ),
    ),
    Row("orderUpdate", "Changes what the input names.", orders.update, input=inputs.update(orders.FACTS)),
    Row("orderSetLines", "Replaces the lines of a draft.", orders.set_lines, input=OrderSetLinesInput),
    Row(
        "orderAmend",
        "Changes a committed order that is not shipped yet. What was paid above its new total becomes the customer's credit.",
        amendments.amend,
        input=OrderAmendInput,
    ),
    Row(
        "orderConfirm",
        "Confirms a draft: its lines and amounts are fixed, and the total is owed.",
        orders.move,
        "confirm",
        input=OrderMoveInput,
    ),
    Row(
        "creditApprove",
        "Lets an order lead past its customer's credit limit, up to its present total.",
        credit.approve,
        input=CreditApproveInput,
        asks=("credit.approve",),
    ),
    Row(
        "orderProcess",
        "Starts work on a confirmed order, or takes it off hold.",
        orders.move,
        "process",
        input=OrderMoveInput,
    ),
    Row("orderInvoice", "Marks an order as invoiced.", orders.move, "invoice", input=OrderMoveInput),
    Row("orderShip", "Marks an order as shipped.", orders.move, "ship", input=OrderMoveInput),
    Row("orderDeliver", "Marks a shipped order as delivered.", orders.move, "deliver", input=OrderMoveInput),
    Row("orderHold", "Marks an order as unavailable until goods arrive.", orders.move, "hold", input=OrderMoveInput),
    Row(
        "orderCancel",
        "Cancels an order that is not shipped and has no payments.",
        orders.move,
        "cancel",
        input=OrderMoveInput,
    ),
)


@part(contracts.Payment)
class ContractPaymentInput:
    """Either an amount or a share of the contract's value, in per cent."""

    due_on: DateText
    amount: MoneyInput | None = UNSET
    share: DecimalText | None = UNSET
    owner_id: strawberry.ID | None = UNSET
    reminder_days: int | None = UNSET


@input
class ContractSetPlanInput:
    id: strawberry.ID
    payments: list[ContractPaymentInput]
    expected_version: int | None = UNSET


@input
class ContractMoveInput:
    id: strawberry.ID
    expected_version: int | None = UNSET
    reason: str | None = UNSET


mutations.table(
    "Contract",
    Row(
        "contractCreate",
        "Drafts a contract, in the currency of its value.",
        contracts.create,
        input=inputs.create("customer_id", contracts.FACTS, optional="owner_id"),
    ),
    Row(
        "contractUpdate",
        "Changes what the input names; the value only while there is no plan of payments.",
        contracts.update,
        input=inputs.update(contracts.FACTS),
    ),
    Row("contractActivate", "Makes a draft active.", contracts.move, "activate", input=ContractMoveInput),
    Row("contractEnd", "Marks an active contract as ended.", contracts.move, "end", input=ContractMoveInput),
    Row("contractTerminate", "Terminates a contract.", contracts.move, "terminate", input=ContractMoveInput),
    Row(
        "contractSetPlan",
        "Replaces the plan of payments, which adds up to the contract's value.",
        contracts.set_plan,
        input=ContractSetPlanInput,
    ),
)

"""The queries, and what makes the answers of different servers comparable."""

from __future__ import annotations

import json
from typing import Any

CUSTOMER_360 = (
    "query($id: ID!){ customer(id: $id) { id name orders(first: 20) { nodes { id number total { amount currency }"
    " payments(first: 5) { nodes { id amount { amount currency } commissions(first: 5) { nodes"
    " { id amount { amount currency } seller { id name } } } } } } } } }"
)
CUSTOMER_360_POSTGRAPHILE = (
    "query($id: UUID!){ customer: customerByRowId(rowId: $id) { id: rowId name"
    " orders: ordersByCustomerId(first: 20, orderBy: [ORDERED_AT_DESC, ROW_ID_DESC]) { nodes"
    " { id: rowId number total: totalAmount currency"
    " payments: paymentsByCustomerIdAndOrderId(first: 5, orderBy: [RECEIVED_AT_DESC, ROW_ID_DESC]) { nodes"
    " { id: rowId amount currency"
    " commissions: commissionsByCustomerIdAndPaymentId(first: 5, orderBy: [EARNED_AT_DESC, ROW_ID_DESC]) { nodes"
    " { id: rowId amount currency seller: userBySellerId { id: rowId name } } } } } } } } }"
)
CUSTOMER_LIST = (
    "query($status: CustomerStatus!){ customers(first: 100, where: {status: {eq: $status}},"
    " orderBy: [{field: CREATED_AT, direction: DESC}]) { nodes { id name status createdAt } } }"
)


def request(query: str, variables: dict[str, Any], *, token: str | None = None) -> str:
    """A whole HTTP request, ready to send."""
    body = json.dumps({"query": query, "variables": variables}, separators=(",", ":"))
    authorization = f"Authorization: Bearer {token}\r\n" if token else ""
    return (
        "POST /graphql HTTP/1.1\r\nHost: 127.0.0.1\r\nContent-Type: application/json\r\nAccept: application/json\r\n"
        f"{authorization}Content-Length: {len(body.encode())}\r\n\r\n{body}"
    )


def normalised(answer: Any) -> Any:
    """An answer as plain rows: ids without prefix or dashes, money as one text."""
    if isinstance(answer, list):
        return [normalised(item) for item in answer]
    if not isinstance(answer, dict):
        return answer
    if answer.keys() == {"amount", "currency"}:
        return f"{answer['amount']} {answer['currency']}"
    row = {key: normalised(value) for key, value in answer.items()}
    if currency := row.pop("currency", None):
        row |= {key: f"{row[key]} {currency}" for key in ("amount", "total") if key in row}
    if "id" in row:
        row["id"] = row["id"].replace("-", "")[-32:]
    return row

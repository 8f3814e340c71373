"""What the accountant's system calls the accounts of the books. One code and name for each purpose."""

from __future__ import annotations

from uuid import UUID

from crmgql import access
from crmgql.errors import BadUserInput, VersionConflict
from crmgql.ledger import book
from crmgql.models import AccountCode, Purpose
from crmgql.records import records
from crmgql.records.records import Act, Row

OF_PURPOSE = "SELECT id FROM account_codes WHERE company_id = $1 AND purpose = $2"
CONFLICTS = {"account_codes_purpose": ("purpose", "Somebody else set it at the same time; try again.")}
KIND = "account.coded"


async def set_code(
    act: Act,
    *,
    purpose: str,
    code: str,
    name: str,
    name_zh: str | None = None,
    expected_version: int | None = None,
) -> UUID:
    """Sets an account's code and names. If they are those already, nothing happens. Raises `BadUserInput`, `VersionConflict`."""
    access.require_write(act.viewer, "AccountCode")
    for field, text in (("code", code), ("name", name)):
        if not text.strip():
            raise BadUserInput("Can't be empty.", field=field)
    own = await book.company_of(act)
    values: Row = {"purpose": str(Purpose(purpose)), "code": code, "name": name, "name_zh": name_zh}
    payload = {key: values[key] for key in ("purpose", "code", "name")}
    id = await act.tx.connection.fetchval(OF_PURPOSE, own.id, purpose)
    if id is not None:
        row = await records.lock(act, AccountCode, id, expected_version=expected_version)
        await records.change(act, AccountCode, row, values, kind=KIND, payload=payload)
        return id  # type: ignore[no-any-return]
    if expected_version is not None:
        raise VersionConflict("The account has no code yet, so it has no version.", field="expectedVersion")
    values["company_id"] = own.id
    made = await records.create(act, AccountCode, values, kind=KIND, conflicts=CONFLICTS, payload=payload)
    return made["id"]  # type: ignore[no-any-return]

"""Signatures: who is paid by a plan agrees to a version of it, by its text."""

from __future__ import annotations

import hashlib
from uuid import UUID

from crmgql import access
from crmgql.errors import Forbidden, IllegalTransition, SignedAlready
from crmgql.events import outbox
from crmgql.models import CompPlanVersion, CompSignature
from crmgql.records import records
from crmgql.records.records import Act

IS_PAID = """
SELECT EXISTS (SELECT FROM comp_assignments WHERE plan_id = $1 AND user_id = $2 AND cancelled_at IS NULL)"""
SIGNED = "SELECT EXISTS (SELECT FROM comp_signatures WHERE plan_version_id = $1 AND user_id = $2)"


async def sign(act: Act, *, plan_version_id: UUID) -> UUID:
    """Signs an approved version as oneself. Not by an API key.

    Raises `Forbidden` for a plan that does not pay the viewer, `IllegalTransition` for a version that is not approved,
    `SignedAlready`.
    """
    access.require_write(act.viewer, "CompSignature")
    access.require_person(act.viewer, "Signing a plan")
    version = await records.visible(act, CompPlanVersion, plan_version_id, field="planVersionId", steady=True)
    own = act.viewer.user_id
    if not await act.tx.connection.fetchval(IS_PAID, version["plan_id"], own):
        raise Forbidden("This plan does not pay you; who is assigned to it signs it.", field="planVersionId")
    if version["status"] != "APPROVED":
        raise IllegalTransition(
            f"This version is {version['status']}; only an APPROVED one is signed.", field="planVersionId"
        )
    await records.serialize(act, f"comp_signatures.{plan_version_id}.{own}")
    if await act.tx.connection.fetchval(SIGNED, plan_version_id, own):
        raise SignedAlready("You signed this version before.", field="planVersionId")
    text_hash = hashlib.sha256(version["text"].encode()).hexdigest()
    values = {"plan_version_id": plan_version_id, "user_id": own, "signed_at": act.now, "text_hash": text_hash}
    made = await records.insert(act, CompSignature, values)
    await outbox.record_event(
        act.tx,
        act.viewer,
        kind="plan.signed",
        subject=("CompSignature", made["id"]),
        customer_id=None,
        changes={column: (None, value) for column, value in values.items()},
        payload={"user_id": own, "plan_version_id": plan_version_id},
    )
    return made["id"]  # type: ignore[no-any-return]

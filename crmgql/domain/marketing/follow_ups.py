"""Follow-ups: a task or an e-mail a number of hours after a lead came into a status, if it still has it.

Each time a lead comes into a status, each rule becomes one job, which is carried out at most once, even if it runs twice.
"""

from __future__ import annotations

from datetime import datetime, timedelta
from typing import Any
from uuid import UUID

from crmgql import access
from crmgql.domain.jobs import jobs, kinds
from crmgql.domain.marketing import templates
from crmgql.domain.messages import emails, notifications
from crmgql.errors import BadUserInput
from crmgql.models import FollowUpRule, Lead, Task
from crmgql.models.leads import OPEN_LEAD_STATUSES
from crmgql.records import records
from crmgql.records.columns import ORIGIN, takes
from crmgql.records.records import Act, Row

FACTS = "name lead_status after_h action subject body active"
LONGEST_H = 24 * 366
SUBJECT = 200
DESCRIPTION = 2000
"""Characters that a task holds."""

CONFLICTS = {"follow_up_rules_name": ("name", "Another rule has this name.")}
ACTIVE = "SELECT id, after_h FROM follow_up_rules WHERE active AND lead_status = $1 ORDER BY after_h, id"
OWNER = """
SELECT u.id, u.name FROM users u
WHERE u.active AND u.id = coalesce($1, (SELECT owner_id FROM lead_queues WHERE id = $2)) FOR SHARE OF u"""
DONE = "SELECT id FROM tasks WHERE dedupe_key = $1"


@takes(FollowUpRule, FACTS, ORIGIN)
async def create_rule(act: Act, **values: Any) -> UUID:
    """Makes a rule, for leads that come into the status from now on. Raises `BadUserInput`, `Conflict`."""
    access.require_write(act.viewer, "FollowUpRule")
    _check(values)
    rule = await records.create(act, FollowUpRule, values, kind="followUpRule.created", conflicts=CONFLICTS)
    return rule["id"]  # type: ignore[no-any-return]


@takes(FollowUpRule, FACTS)
async def update_rule(act: Act, *, id: UUID, expected_version: int | None = None, **changes: Any) -> UUID:
    """Changes what is named; an inactive rule also does nothing for leads that it was planned for."""
    access.require_write(act.viewer, "FollowUpRule")
    rule = await records.lock(act, FollowUpRule, id, expected_version=expected_version)
    _check({**rule, **changes})
    await records.change(act, FollowUpRule, rule, changes, kind="followUpRule.updated", conflicts=CONFLICTS)
    return id


def _check(rule: Row) -> None:
    if rule["lead_status"] not in OPEN_LEAD_STATUSES:
        raise BadUserInput(f"Rules are for leads that are {', '.join(OPEN_LEAD_STATUSES)}.", field="leadStatus")
    if rule["after_h"] is not None and not 0 <= rule["after_h"] <= LONGEST_H:
        raise BadUserInput(f"Must be 0 to {LONGEST_H} hours.", field="afterH")
    if rule["action"] == "EMAIL" and not (rule.get("body") or "").strip():
        raise BadUserInput("An e-mail needs a body.", field="body")
    for field in ("subject", "body"):
        if len(rule.get(field) or "") <= emails.BODY:
            templates.check(rule.get(field), field=field)


async def plan(act: Act, lead: Row) -> None:
    """Enqueues the jobs of the active rules for a lead that has just come into its status."""
    since: datetime = lead["status_since"]
    if rules := await act.tx.connection.fetch(ACTIVE, lead["status"]):
        arguments = [kinds.FollowUp(lead_id=lead["id"], rule_id=rule["id"], since=since) for rule in rules]
        due_at = [since + timedelta(hours=rule["after_h"]) for rule in rules]
        await jobs.enqueue_many(
            act, kinds.LEAD_FOLLOW_UP, arguments, due_at=due_at, unique_keys=[_key(each) for each in arguments]
        )


def _key(arguments: kinds.FollowUp) -> str:
    return f"followUp:{arguments.lead_id}:{arguments.rule_id}:{arguments.since.timestamp():.6f}"


async def carry_out(act: Act, arguments: kinds.FollowUp, *, unsubscribe: str | None) -> Row:
    """Makes the task or the e-mail, unless the lead has left the status or the rule is inactive. Returns the job's result.

    `unsubscribe`: the address for unsubscribing. Raises `NotFound`.
    """
    lead = await records.lock(act, Lead, arguments.lead_id)
    rule = await records.visible(act, FollowUpRule, arguments.rule_id, field="ruleId", steady=True)
    if not rule["active"]:
        return {"done": None, "reason": "The rule is out of use."}
    if lead["status"] != rule["lead_status"] or lead["status_since"] != arguments.since:
        return {"done": None, "reason": "The lead has moved on."}
    owner = await act.tx.connection.fetchrow(OWNER, lead["owner_id"], lead["queue_id"])
    values = templates.variables(
        name=lead["name"], company=lead["company"], owner=owner and owner["name"], unsubscribe=unsubscribe
    )
    subject = templates.render(rule["subject"], values)
    body = templates.render(rule["body"] or "", values)
    if rule["action"] == "EMAIL":
        return {"email": await _email(act, lead, subject, body, key=_key(arguments))}
    return {"task": await _task(act, lead, owner and owner["id"], subject, body, key=_key(arguments))}


async def _email(act: Act, lead: Row, subject: str, body: str, *, key: str) -> UUID:
    skip = None
    if not lead["email"]:
        skip = "the lead has no e-mail address"
    elif lead["email_opt_out"]:
        skip = emails.UNWANTED
    return await emails.write(
        act,
        to_address=lead["email"] or "",
        subject=subject,
        body=body,
        dedupe_key=key,
        lead_id=lead["id"],
        skip=skip,
    )


async def _task(act: Act, lead: Row, assignee_id: UUID | None, subject: str, body: str, *, key: str) -> UUID:
    """Makes the task: for the lead's owner, else for its queue's owner, else unassigned."""
    known = await act.tx.connection.fetchval(DONE, key)
    if known is not None:
        return known  # type: ignore[no-any-return]
    task = await records.create(
        act,
        Task,
        {
            "subject": emails.one_line(subject, SUBJECT) or emails.one_line(lead["name"], SUBJECT),
            "description": notifications.cut(body, DESCRIPTION) or None,
            "due_at": act.now,
            "assignee_id": assignee_id,
            "lead_id": lead["id"],
            "dedupe_key": key,
        },
        kind="task.created",
    )
    if assignee_id is not None:
        title = f"{task['subject']} ({lead['name']})"
        await notifications.notify(
            act, user_ids=[assignee_id], kind="lead.followUp", title=title, dedupe_key=key, lead_id=lead["id"]
        )
    return task["id"]  # type: ignore[no-any-return]

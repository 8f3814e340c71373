"""Jobs of the books."""

from __future__ import annotations

from uuid import UUID

import structlog

from crmgql.domain.jobs import endings, kinds
from crmgql.domain.money import handing_over, plan_alerts, reconciliation, reminding, standings
from crmgql.domain.money.banking import matches
from crmgql.domain.money.hooks import events, following
from crmgql.domain.sales import deferrals
from crmgql.ledger import anchors
from crmgql.records import records
from crmgql.records.records import Act
from crmgql.workers.handlers import Result, Run, handler, long_handler

log = structlog.get_logger("crmgql")

ORDERS_AT_ONCE = 500
INVOICES_AT_ONCE = 200
PLANNED_AT_ONCE = 500


@long_handler(kinds.LEDGER_ANCHOR)
async def ledger_anchor(run: Run, arguments: kinds.Nothing) -> Result:
    """Logs each anchor: where logs are kept elsewhere, so is what proves the books later."""
    last = None
    while True:
        async with run.step() as act:
            await records.allow_long_statements(act)
            anchor = await anchors.write(act.tx, now=act.now)
            run.progress(done=run.done + (anchor.heads if anchor else 0))
        if anchor is not None:
            last = str(anchor)
            log.info("books are anchored", anchor=last, chains=anchor.heads)
        if anchor is None or anchor.heads < anchors.MOST:
            return {"heads": run.done, "anchor": last}


@long_handler(kinds.CUSTOMERS_HAND_OVER)
async def customers_hand_over(run: Run, arguments: kinds.Nothing) -> Result:
    while True:
        async with run.step() as act:
            went = await handing_over.hand_over_next(act)
            run.progress(done=run.done + went)
        if not went:
            return {"items": run.done}


@long_handler(kinds.RECEIVABLES_DUE)
async def receivables_due(run: Run, arguments: kinds.Nothing) -> Result:
    while True:
        async with run.step() as act:
            counted = await standings.pass_due_days(act)
            run.progress(done=run.done + counted)
        if not counted:
            return {"standings": run.done}


@handler(kinds.PROVIDER_EVENT_FOLLOW)
async def provider_event_follow(act: Act, arguments: kinds.ProviderEventOf) -> Result:
    """How many events of the payment are in which status now."""
    return dict(await following.follow(act, arguments.provider_event_id))


@endings.when_dead(kinds.PROVIDER_EVENT_FOLLOW)
async def provider_event_gave_up(act: Act, arguments: kinds.ProviderEventOf, reason: str) -> None:
    await following.give_up(act, arguments.provider_event_id, reason)


@handler(kinds.PROVIDER_EVENTS_RETRY)
async def provider_events_retry(act: Act, arguments: kinds.Nothing) -> Result:
    return {"tried": await events.retry(act), "told": await events.tell(act)}


@long_handler(kinds.BANK_LINES_MATCH)
async def bank_lines_match(run: Run, arguments: kinds.Nothing) -> Result:
    outcome = await matches.match(run.step)
    return {"lines": outcome.lines, "booked": outcome.booked, "suggested": outcome.suggested}


@long_handler(kinds.REVENUE_RECOGNISE)
async def revenue_recognise(run: Run, arguments: kinds.Nothing) -> Result:
    """Runs each hour, as the company's day begins at any hour of the server's; what was missed is posted with the next run."""
    while True:
        async with run.step() as act:
            await records.allow_long_statements(act)
            done = await deferrals.recognise_due(act, most=ORDERS_AT_ONCE)
            run.progress(done=run.done + done)
        if done < ORDERS_AT_ONCE:
            return {"orders": run.done}


@long_handler(kinds.INVOICES_REMIND)
async def invoices_remind(run: Run, arguments: kinds.Nothing) -> Result:
    """Runs each hour: an invoice that was reminded of today is left alone. Schedule it otherwise to have the e-mails go out at an hour of
    your choice."""
    overdue = 0
    while True:
        async with run.step() as act:
            noted = await reminding.note_overdue(act, limit=INVOICES_AT_ONCE)
        overdue += noted
        if not noted:
            break
    while True:
        async with run.step() as act:
            sent = await reminding.remind(act, limit=INVOICES_AT_ONCE)
            run.progress(done=run.done + sent)
        if not sent:
            return {"overdue": overdue, "reminders": run.done}


@long_handler(kinds.CONTRACTS_REMIND)
async def contracts_remind(run: Run, arguments: kinds.Nothing) -> Result:
    """Runs each hour, as the company's day begins at any hour of the server's; whoever was told is not told again."""
    told: dict[str, int] = {}
    for stage in plan_alerts.STAGES:
        before = run.done
        after: plan_alerts.Place | None = plan_alerts.FIRST
        while after is not None:
            async with run.step() as act:
                found = await plan_alerts.tell(act, stage, after=after, limit=PLANNED_AT_ONCE)
                run.progress(done=run.done + found.count)
            after = found.last
        told[stage.name] = run.done - before
    return told


@long_handler(kinds.MONEY_RECONCILE)
async def money_reconcile(run: Run, arguments: kinds.Nothing) -> Result:
    """Goes on where it was stopped; what it finds twice it finds once."""
    while "finished" not in run.checkpoint:
        async with run.step() as act:
            await records.allow_long_statements(act)
            if "run" not in run.checkpoint:
                run.checkpoint = {"run": (await reconciliation.begin(act)).hex, "after": reconciliation.FIRST.hex}
            id = UUID(run.checkpoint["run"])
            if run.checkpoint["after"] is None:
                run.checkpoint |= {"finished": await reconciliation.finish(act, id)}
            else:
                step = await reconciliation.look_at_customers(act, id, UUID(run.checkpoint["after"]))
                run.checkpoint |= {"after": step.last and step.last.hex}
                run.progress(done=run.done + step.customers)
    return dict(run.checkpoint["finished"])

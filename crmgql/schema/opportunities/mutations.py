"""Mutations of opportunities."""

from __future__ import annotations

import strawberry

from crmgql.domain.opportunities import opportunities
from crmgql.engine import inputs, mutations
from crmgql.engine.inputs import UNSET, input
from crmgql.engine.mutations import Row
from crmgql.engine.scalars import DateTimeText


@input
class OpportunityMoveInput:
    """The stage must be open; it may be of another pipeline."""

    id: strawberry.ID
    stage_id: strawberry.ID
    expected_version: int | None = UNSET


@input
class OpportunityLoseInput:
    id: strawberry.ID
    reason: str
    expected_version: int | None = UNSET


@input
class OpportunityReopenInput:
    """The stage is by default the last open one of its pipeline."""

    id: strawberry.ID
    stage_id: strawberry.ID | None = UNSET
    expected_version: int | None = UNSET


@input
class OpportunityActionInput:
    """A key action of the opportunity's pipeline."""

    id: strawberry.ID
    key_action_id: strawberry.ID
    expected_version: int | None = UNSET


@input
class OpportunitySnoozeInput:
    """`until` is at most a year ahead."""

    id: strawberry.ID
    until: DateTimeText
    expected_version: int | None = UNSET


mutations.table(
    "Opportunity",
    Row(
        "opportunityCreate",
        "Makes an opportunity in an open stage.",
        opportunities.create,
        input=inputs.create(
            "customer_id stage_id amount",
            opportunities.FACTS,
            optional="stage_id",
            doc="Without an owner it is yours if you sell or manage.",
        ),
    ),
    Row(
        "opportunityUpdate",
        "Changes what the input names; of a closed opportunity only name and owner.",
        opportunities.update,
        input=inputs.update(opportunities.FACTS, "customer_id amount"),
    ),
    Row(
        "opportunityMove",
        "Moves to another open stage; onwards only if the stage's required key actions are done.",
        opportunities.move,
        input=OpportunityMoveInput,
    ),
    Row(
        "opportunityWin",
        "Closes an open opportunity as won, today, if its stage's required key actions are done.",
        opportunities.win,
    ),
    Row(
        "opportunityLose",
        "Closes an open opportunity as lost, today, with a reason.",
        opportunities.lose,
        input=OpportunityLoseInput,
    ),
    Row(
        "opportunityReopen",
        "Reopens a won or lost opportunity.",
        opportunities.reopen,
        input=OpportunityReopenInput,
    ),
    Row(
        "opportunityActionDone",
        "Records that a key action was done.",
        opportunities.finish_action,
        input=OpportunityActionInput,
    ),
    Row(
        "opportunityActionUndone",
        "Removes the record that a key action was done.",
        opportunities.undo_action,
        input=OpportunityActionInput,
    ),
    Row(
        "opportunitySnooze",
        "Puts alerts off until a time.",
        opportunities.snooze,
        input=OpportunitySnoozeInput,
    ),
    Row("opportunityUnsnooze", "Ends the snooze.", opportunities.unsnooze),
)

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
    """The stage is an open one; of another pipeline too."""

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
    """Back to its pipeline's last open stage unless another open stage is named."""

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
    """Until when; at most a year ahead."""

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
        "Changes what the input names; of a closed one the name and the owner.",
        opportunities.update,
        input=inputs.update(opportunities.FACTS, "customer_id amount"),
    ),
    Row(
        "opportunityMove",
        "Moves to another open stage; onwards only when the stage's required key actions are done.",
        opportunities.move,
        input=OpportunityMoveInput,
    ),
    Row(
        "opportunityWin",
        "Closes an open opportunity as won, today, when its stage's required key actions are done.",
        opportunities.win,
    ),
    Row(
        "opportunityLose",
        "Closes an open opportunity as lost, today, and says why.",
        opportunities.lose,
        input=OpportunityLoseInput,
    ),
    Row(
        "opportunityReopen",
        "Opens a won or lost opportunity again.",
        opportunities.reopen,
        input=OpportunityReopenInput,
    ),
    Row(
        "opportunityActionDone",
        "Notes that a key action was done.",
        opportunities.finish_action,
        input=OpportunityActionInput,
    ),
    Row(
        "opportunityActionUndone",
        "Takes back that a key action was done.",
        opportunities.undo_action,
        input=OpportunityActionInput,
    ),
    Row(
        "opportunitySnooze",
        "Lets no alert come before a time; then it is due, unless something happens before.",
        opportunities.snooze,
        input=OpportunitySnoozeInput,
    ),
    Row("opportunityUnsnooze", "Lets alerts come again.", opportunities.unsnooze),
)

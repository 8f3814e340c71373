"""Campaigns, where leads come in, follow-up rules."""

from crmgql.events.declarations import Kind

KINDS = (
    Kind("campaign.created", "Campaign", "A campaign was planned."),
    Kind("campaign.updated", "Campaign", "A campaign changed."),
    Kind("campaign.started", "Campaign", "A campaign began."),
    Kind("campaign.ended", "Campaign", "A campaign ended."),
    Kind("intakeSource.created", "IntakeSource", "A place where leads come in was made."),
    Kind("intakeSource.updated", "IntakeSource", "A place where leads come in changed."),
    Kind("intakeSource.keyRotated", "IntakeSource", "An intake source got a new key."),
    Kind("intakeSource.deactivated", "IntakeSource", "No more leads come in there."),
    Kind("followUpRule.created", "FollowUpRule", "A rule for following leads up was made."),
    Kind("followUpRule.updated", "FollowUpRule", "A rule for following leads up changed."),
)

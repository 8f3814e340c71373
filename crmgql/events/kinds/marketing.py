"""Campaigns, intake sources, follow-up rules."""

from crmgql.events.declarations import Kind

KINDS = (
    Kind("campaign.created", "Campaign", "A campaign was planned."),
    Kind("campaign.updated", "Campaign", "A campaign changed."),
    Kind("campaign.started", "Campaign", "A campaign began."),
    Kind("campaign.ended", "Campaign", "A campaign ended."),
    Kind("intakeSource.created", "IntakeSource", "An intake source was made."),
    Kind("intakeSource.updated", "IntakeSource", "An intake source changed."),
    Kind("intakeSource.keyRotated", "IntakeSource", "An intake source got a new key."),
    Kind("intakeSource.deactivated", "IntakeSource", "An intake source was deactivated."),
    Kind("followUpRule.created", "FollowUpRule", "A follow-up rule was made."),
    Kind("followUpRule.updated", "FollowUpRule", "A follow-up rule changed."),
)

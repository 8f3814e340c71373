"""Routed leads, and the rules of routing."""

from crmgql.events.declarations import SOMETIMES, Changed, Kind, record_id


class Routed(Changed):
    """Why, as a code; how often it was tried."""

    reason: str
    attempt: int


class RuleRemoved(Changed):
    """The rule's name and its former position."""

    rule: str
    position: int


class QueueUpdated(Changed):
    """The deactivated user from whom it was handed over, if any."""

    handed_over_from: record_id("User") | None = None  # type: ignore[valid-type]


KINDS = (
    Kind("lead.routed", "Lead", "Routing assigned a lead to somebody.", Routed, SOMETIMES),
    Kind("lead.queued", "Lead", "Routing put a lead into a queue.", Routed, SOMETIMES),
    Kind("lead.unrouted", "Lead", "Routing found no place for a lead.", Routed, SOMETIMES),
    Kind("routingRuleset.created", "RoutingRuleset", "A draft of rules was made."),
    Kind("routingRuleset.updated", "RoutingRuleset", "A draft of rules changed."),
    Kind("routingRuleset.activated", "RoutingRuleset", "A draft became the rules that leads are routed by."),
    Kind("routingRuleset.retired", "RoutingRuleset", "Rules were replaced by others."),
    Kind("routingRuleset.ruleRemoved", "RoutingRuleset", "A rule was taken out of a draft.", RuleRemoved),
    Kind("routingRule.created", "RoutingRule", "A rule was added to a draft."),
    Kind("routingRule.updated", "RoutingRule", "A rule of a draft changed."),
    Kind("leadQueue.created", "LeadQueue", "A queue for leads was made."),
    Kind("leadQueue.updated", "LeadQueue", "A queue changed, such as its owner.", QueueUpdated),
    Kind("sellerProfile.created", "SellerProfile", "A seller's routing profile was made."),
    Kind("sellerProfile.updated", "SellerProfile", "A seller's routing profile changed."),
    Kind("absence.created", "Absence", "An absence was entered."),
    Kind("absence.cancelled", "Absence", "An absence was cancelled."),
)

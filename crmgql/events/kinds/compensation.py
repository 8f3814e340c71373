"""Commissions, the plans that people are paid by, quotas."""

from datetime import date

from crmgql.events.declarations import ALWAYS, Changed, Kind, Payload, record_id


class Assigned(Changed):
    """How many people, from which day on, and up to which one, if there is one."""

    people: int
    starts_on: date
    ends_on: date | None = None


class OfPlan(Changed):
    """The plan, and which of its versions it is, counted from 1."""

    plan_id: record_id("CompPlan")  # type: ignore[valid-type]
    n: int


class Retired(OfPlan):
    """The last day on which it pays."""

    ends_on: date


class Assignment(Changed):
    """The person, and the plan that pays them."""

    user_id: record_id("User")  # type: ignore[valid-type]
    plan_id: record_id("CompPlan")  # type: ignore[valid-type]


class Signed(Payload):
    """Who signed which version."""

    user_id: record_id("User")  # type: ignore[valid-type]
    plan_version_id: record_id("CompPlanVersion")  # type: ignore[valid-type]


KINDS = (
    Kind("commission.recorded", "Commission", "A commission was recorded.", customer=ALWAYS),
    Kind("commission.updated", "Commission", "A commission changed.", customer=ALWAYS),
    Kind("plan.created", "CompPlan", "A plan was made."),
    Kind("plan.updated", "CompPlan", "A plan's name or description changed."),
    Kind("plan.assigned", "CompPlan", "People were assigned to a plan: it pays them.", Assigned),
    Kind("plan.drafted", "CompPlanVersion", "A version of a plan was drafted.", OfPlan),
    Kind("plan.redrafted", "CompPlanVersion", "What a draft says was replaced.", OfPlan),
    Kind("plan.approved", "CompPlanVersion", "A version of a plan was approved.", OfPlan),
    Kind("plan.retired", "CompPlanVersion", "A version of a plan got its last day.", Retired),
    Kind("plan.signed", "CompSignature", "Somebody signed a version of the plan that pays them.", Signed),
    Kind("assignment.made", "CompAssignment", "Somebody was assigned to a plan.", Assignment),
    Kind("assignment.ended", "CompAssignment", "The last day of an assignment was set.", Assignment),
    Kind("assignment.cancelled", "CompAssignment", "An assignment was cancelled: its days never counted.", Assignment),
    Kind("quota.set", "Quota", "A quota was set."),
    Kind("quota.cancelled", "Quota", "A quota was cancelled: it never counted."),
)

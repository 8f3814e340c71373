"""What can be followed: the root fields of `Subscription` that answer events."""

from crmgql.engine.followed import followed

followed("events", "All events that you may see, or those of some kinds, from a cursor on.")
followed("customerChanged", "Events of a customer: its own, and those of all around it.", record="Customer")
followed("orderChanged", "Events of an order.", record="Order")
followed("leadRouted", "Leads that routing assigned to somebody.", kinds=("lead.routed",))
followed("opportunityStale", "Opportunities without an activity for too long.", kinds=("opportunity.stale",))
followed("paymentReceived", "Payments that were received.", kinds=("payment.received",))
followed("notificationReceived", "Your notifications.", kinds=("notification.received",))

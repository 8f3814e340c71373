"""Our accounts at payment providers, and what these say."""

from crmgql.events.declarations import Kind, Nothing

KINDS = (
    Kind("paymentAccount.created", "PaymentAccount", "An account at a payment provider was set up."),
    Kind("paymentAccount.updated", "PaymentAccount", "An account at a payment provider changed, or was enabled again."),
    Kind("paymentAccount.secretRotated", "PaymentAccount", "An account at a payment provider got a new secret."),
    Kind(
        "paymentAccount.disabled",
        "PaymentAccount",
        "Nothing is accepted any more for an account at a payment provider.",
    ),
    Kind(
        "providerEvent.assigned",
        "ProviderEvent",
        "Somebody said whose a payment is of which a provider told.",
        Nothing,
    ),
    Kind("providerEvent.replayed", "ProviderEvent", "Somebody had followed again what a provider says.", Nothing),
    Kind("providerEvent.waited", "ProviderEvent", "What a provider says could not be booked for a day.", Nothing),
)

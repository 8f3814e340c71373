"""Users, teams, their sessions and keys."""

from datetime import datetime

from crmgql.events.declarations import Changed, Kind, Nothing, Payload, record_id


class Throttled(Payload):
    """How many logins failed, until when the client waits, and whose e-mail was tried, if it is anybody's."""

    failures: int
    until: datetime
    user_id: record_id("User") | None = None  # type: ignore[valid-type]


class PasswordChanged(Payload):
    """The user's version, where an administrator set the password."""

    version: int | None = None


KINDS = (
    Kind("user.created", "User", "Somebody joined."),
    Kind("user.updated", "User", "A user's record changed."),
    Kind("user.passwordChanged", "User", "A user got a new password; all sessions ended.", PasswordChanged),
    Kind("user.deactivated", "User", "Somebody left.", Changed),
    Kind("user.reactivated", "User", "Somebody is back.", Changed),
    Kind("user.loggedIn", "User", "Somebody logged in.", Nothing),
    Kind("user.loggedOut", "User", "Somebody logged out.", Nothing),
    Kind("user.sessionEnded", "User", "A refresh token was used twice, so its session ended.", Nothing),
    Kind("login.throttled", "LoginAttempt", "Too many logins failed; the client has to wait.", Throttled),
    Kind("team.created", "Team", "A team was made."),
    Kind("team.updated", "Team", "A team changed."),
    Kind("apiKey.created", "ApiKey", "A key for the API was made.", Nothing),
    Kind("apiKey.revoked", "ApiKey", "A key for the API was ended.", Nothing),
)

"""Users, teams, their sessions and keys."""

from datetime import datetime

from crmgql.events.declarations import Changed, Kind, Nothing, Payload, record_id


class Throttled(Payload):
    """The number of failed logins, until when the client has to wait, and the user whose e-mail was tried, if there is one."""

    failures: int
    until: datetime
    user_id: record_id("User") | None = None  # type: ignore[valid-type]


class PasswordChanged(Payload):
    """The user's version, where an administrator set the password."""

    version: int | None = None


KINDS = (
    Kind("user.created", "User", "A user was made."),
    Kind("user.updated", "User", "A user's record changed."),
    Kind("user.passwordChanged", "User", "A user got a new password; all sessions ended.", PasswordChanged),
    Kind("user.deactivated", "User", "A user was deactivated.", Changed),
    Kind("user.reactivated", "User", "A user was reactivated.", Changed),
    Kind("user.loggedIn", "User", "Somebody logged in.", Nothing),
    Kind("user.loggedOut", "User", "Somebody logged out.", Nothing),
    Kind("user.sessionEnded", "User", "A refresh token was used twice, so its session ended.", Nothing),
    Kind("login.throttled", "LoginAttempt", "Too many logins failed; the client has to wait.", Throttled),
    Kind("team.created", "Team", "A team was made."),
    Kind("team.updated", "Team", "A team changed."),
    Kind("apiKey.created", "ApiKey", "An API key was made.", Nothing),
    Kind("apiKey.revoked", "ApiKey", "An API key was revoked.", Nothing),
)

"""Users, teams, their sessions and API keys."""

from __future__ import annotations

from enum import StrEnum
from typing import Any

from tortoise import fields

from crmgql.models.base import (
    Editable,
    Record,
    TextArrayField,
    check,
    index,
    origin_unique,
    partial,
    unique,
)


class Role(StrEnum):
    ADMIN = "ADMIN"
    FINANCE = "FINANCE"
    MANAGER = "MANAGER"
    SELLER = "SELLER"
    SUPPORT = "SUPPORT"
    MARKETER = "MARKETER"
    INTEGRATION = "INTEGRATION"
    PAYROLL = "PAYROLL"


class Team(Editable):
    name = fields.CharField(max_length=100)
    region: Any = fields.CharField(max_length=100, null=True)
    manager: Any = fields.ForeignKeyField(
        "crm.User", related_name="managed_teams", null=True, on_delete=fields.RESTRICT
    )
    parent: Any = fields.ForeignKeyField("crm.Team", related_name="children", null=True, on_delete=fields.RESTRICT)

    class Meta:
        table = "teams"
        constraints = [origin_unique("teams"), check("teams_parent_other", "parent_id <> id")]
        indexes = [index("teams_manager", "manager_id", "id"), index("teams_parent", "parent_id", "id")]


class User(Editable):
    """A person who works with the CRM. Without an e-mail and a password hash, nobody can log in as them."""

    name = fields.CharField(max_length=200)
    email: Any = fields.CharField(max_length=254, null=True)
    roles = TextArrayField(db_default=[])
    team: Any = fields.ForeignKeyField("crm.Team", related_name="members", null=True, on_delete=fields.RESTRICT)
    region: Any = fields.CharField(max_length=100, null=True)
    city: Any = fields.CharField(max_length=100, null=True)
    state: Any = fields.CharField(max_length=100, null=True)
    postal_code: Any = fields.CharField(max_length=20, null=True)
    active = fields.BooleanField(db_default=True)
    password_hash: Any = fields.CharField(max_length=200, null=True)

    class Meta:
        table = "users"
        constraints = [
            origin_unique("users"),
            unique("users_email", "lower(email)"),
            check("users_roles", f"roles <@ ARRAY[{','.join(repr(str(role)) for role in Role)}]::text[]"),
        ]
        indexes = [index("users_team", "team_id", "id"), index("users_name", "name", "id")]


class Session(Record):
    """A refresh token: only its hash is kept. Using one replaces it; using a replaced one ends the family.

    `client` is who used it (a fingerprint), `used_again` how often the same client used it again right after.
    """

    user: Any = fields.ForeignKeyField("crm.User", related_name="sessions", on_delete=fields.RESTRICT)
    family = fields.UUIDField()
    token_hash = fields.CharField(max_length=64)
    expires_at = fields.DatetimeField()
    used_at: Any = fields.DatetimeField(null=True)
    revoked_at: Any = fields.DatetimeField(null=True)
    client: Any = fields.CharField(max_length=64, null=True)
    used_again = fields.IntField(db_default=0)

    class Meta:
        table = "sessions"
        constraints = [unique("sessions_token", "token_hash"), check("sessions_used_again", "used_again >= 0")]
        indexes = [
            index("sessions_user", "user_id"),
            index("sessions_family", "family"),
            index("sessions_expires", "expires_at", "id"),
            partial("sessions_live", "used_at IS NULL AND revoked_at IS NULL", "family"),
        ]


class ApiKey(Record):
    """An integrator's key: hashed, scoped, revocable. It acts as its user within its scopes."""

    user: Any = fields.ForeignKeyField("crm.User", related_name="api_keys", on_delete=fields.RESTRICT)
    name = fields.CharField(max_length=100)
    hint = fields.CharField(max_length=12)
    key_hash = fields.CharField(max_length=64)
    scopes = TextArrayField(db_default=[])
    expires_at: Any = fields.DatetimeField(null=True)
    revoked_at: Any = fields.DatetimeField(null=True)

    class Meta:
        table = "api_keys"
        constraints = [unique("api_keys_hash", "key_hash")]
        indexes = [index("api_keys_user", "user_id", "id")]


class LoginAttempt(Record):
    """Failed logins in the running window: of one e-mail at one address, of one address, or of one e-mail."""

    key = fields.CharField(max_length=300)
    failures = fields.IntField(db_default=0)
    window_ends_at = fields.DatetimeField()

    class Meta:
        table = "login_attempts"
        constraints = [unique("login_attempts_key", "key")]
        indexes = [index("login_attempts_window", "window_ends_at", "id")]

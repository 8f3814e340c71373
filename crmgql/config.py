"""Settings, read once from `CRMGQL_*` environment variables and frozen.

This is the only module that reads the environment. Every variable is listed in
`docs/reference/settings.md`; a test compares the two.
"""

from __future__ import annotations

import re
from email.utils import parseaddr
from functools import cache
from pathlib import Path
from typing import Literal
from urllib.parse import SplitResult, urlsplit

from email_validator import validate_email
from pydantic import Field, SecretStr, ValidationInfo, field_validator
from pydantic_settings import BaseSettings, SettingsConfigDict

from crmgql.errors import SetupError

PASSWORD = re.compile(r"(:/*)[^/].*(?=@)|(password=)[^&]*")
"""In an address: what stands before the last @, and in the query."""


class Settings(BaseSettings):
    """What an operator may set. Field `port` is `CRMGQL_PORT`, and so on."""

    model_config = SettingsConfigDict(env_prefix="CRMGQL_", env_ignore_empty=True, frozen=True, extra="ignore")

    database_url: str | None = Field(None, description="PostgreSQL 18 URL; unset: an embedded server is started.")
    read_database_url: str | None = Field(
        None, description="URL of a replica that answers queries; unset: the database does."
    )
    redis_url: str | None = Field(None, description="Valkey or Redis URL; unset: an embedded server is started.")
    data_dir: Path = Field(Path(".crmgql"), description="Where the embedded servers keep their data.")
    host: str = Field("127.0.0.1", description="Address the API listens on.")
    port: int = Field(8000, ge=1, le=65535, description="Port the API listens on.")
    workers: int = Field(1, ge=1, le=64, description="API processes.")
    secret_key: SecretStr | None = Field(
        None,
        description="Signs access tokens, and webhooks' secrets are made of it (32 bytes or more); unset: one is made and kept "
        "in the data directory.",
    )
    access_token_minutes: int = Field(15, ge=1, le=1440, description="Life of an access token.")
    refresh_token_days: int = Field(30, ge=1, le=365, description="Life of a refresh token.")
    pool_size: int = Field(
        4,
        ge=2,
        le=200,
        description="Database connections per process, for each of two pools, and half as many while events are followed; about twice the database's cores in all.",
    )
    worker_jobs: int = Field(10, ge=1, le=1000, description="Jobs that a worker process does at once, for each queue.")
    statement_timeout_ms: int = Field(10_000, ge=100, description="The database stops a query after this time.")
    max_body_bytes: int = Field(
        1_048_576, ge=1024, description="Largest request body, and largest message on a WebSocket."
    )
    body_timeout_s: float = Field(15, ge=0.1, le=600, description="Seconds in which a request body must arrive.")
    trusted_proxies: str = Field(
        "", description="Comma-separated addresses and networks of proxies whose X-Forwarded-For counts."
    )
    max_cost: int = Field(50_000, ge=100, description="Most nodes that a query may ask for in the worst case.")
    max_depth: int = Field(15, ge=1, description="Deepest nesting of a query.")
    max_aliases: int = Field(50, ge=0, description="Most aliases in a document.")
    max_tokens: int = Field(2000, ge=10, description="Most tokens in a document.")
    max_directives: int = Field(50, ge=0, description="Most directives in a document.")
    max_batch: int = Field(10, ge=1, description="Most operations in one batched request.")
    plan_cache_size: int = Field(1000, ge=10, description="Plans kept per process.")
    introspection: Literal["anyone", "token", "off"] = Field(
        "token", description="Who may ask for __schema and __type; crmgql dev: anyone."
    )
    get_queries: bool = Field(False, description="Whether queries may be sent with GET; crmgql dev: true.")
    ide: bool = Field(False, description="Whether a browser's GET is answered with the query page; crmgql dev: true.")
    cors_origins: str = Field("", description="Comma-separated origins of browser clients; * for any.")
    log_level: Literal["debug", "info", "warning", "error"] = Field("info", description="What is logged.")
    log_format: Literal["auto", "console", "json"] = Field("auto", description="auto: console on a terminal.")
    log_sql: bool = Field(False, description="Log the SQL text of each operation.")
    smtp_url: str | None = Field(
        None, description="SMTP server, smtp://user:password@host:587 or smtps://…; unset: no e-mail is sent."
    )
    mail_from: str | None = Field(
        None, description="Sender of e-mails, such as crm@example.com or CRM <crm@example.com>; needed to send."
    )
    mail_timeout_s: int = Field(30, ge=1, le=50, description="How long the SMTP server may take for one e-mail.")
    events_retention_days: int | None = Field(
        None, ge=31, description="Months of events that ended so many days ago are dropped; unset: all are kept."
    )
    audit_retention_days: int | None = Field(
        None,
        ge=31,
        description="Months of the audit trail that ended so many days ago are dropped; unset: all are kept.",
    )
    export_retention_h: int = Field(48, ge=1, le=288, description="Hours after which a finished export is deleted.")
    webhook_networks: str = Field(
        "", description="Comma-separated addresses and networks, not public ones, that webhooks may go to besides."
    )
    webhook_timeout_s: float = Field(15, ge=0.1, le=60, description="How long the receiver of a webhook may take.")
    webhook_log_days: int = Field(
        30, ge=1, le=365, description="Attempts and ended deliveries of webhooks older than this are deleted."
    )
    provider_posts_days: int = Field(
        180, ge=1, le=3650, description="Days for which posts of payment providers are kept; what they say stays."
    )
    max_streams: int = Field(
        4000, ge=1, le=100_000, description="WebSockets and event streams that a process holds open at once."
    )
    max_streams_per_viewer: int = Field(50, ge=1, description="The same for one user.")
    max_strangers_per_address: int = Field(
        50, ge=1, description="WebSockets of one address that have not shown a token yet, in a process."
    )
    max_subscriptions: int = Field(50, ge=1, description="Operations under way on one WebSocket.")
    max_subscriptions_per_viewer: int = Field(500, ge=1, description="Subscriptions of one user in a process.")
    socket_init_s: float = Field(5, ge=0.1, le=60, description="Seconds in which a new WebSocket must show its token.")
    heartbeat_s: float = Field(
        15,
        ge=0.1,
        le=300,
        description="Seconds between two heartbeats of a stream; silent for two, a WebSocket is closed.",
    )
    slow_consumer_s: float = Field(
        10, ge=0.1, le=300, description="Seconds for which a client may leave a stream unread before it is dropped."
    )
    max_waiting_bytes: int = Field(
        4_194_304, ge=1024, description="Bytes that may wait for a WebSocket that has stopped being read."
    )
    shared_events: bool = Field(
        False, description="Whether a proxy that asks first may keep pages of /events for all with the same rights."
    )
    otlp_endpoint: str | None = Field(None, description="OTLP/HTTP address for traces; unset: no tracing.")

    @field_validator("database_url", "read_database_url", "redis_url")
    @classmethod
    def _is_address(cls, value: str | None, info: ValidationInfo) -> str | None:
        """An address of the right kind, with a port that is one."""
        kinds = ("redis", "rediss", "unix") if info.field_name == "redis_url" else ("postgresql", "postgres")
        if value is not None:
            parts = urlsplit(value)
            if parts.scheme not in kinds or not _has_port(parts):
                raise ValueError(f"should be an address such as {kinds[0]}://user:password@host")
        return value

    @field_validator("smtp_url")
    @classmethod
    def _is_mail_server(cls, value: str | None) -> str | None:
        if value is not None:
            parts = urlsplit(value)
            if parts.scheme not in ("smtp", "smtps") or not parts.hostname or not _has_port(parts):
                raise ValueError("should be an address such as smtp://user:password@host:587")
        return value

    @field_validator("mail_from")
    @classmethod
    def _is_mailbox(cls, value: str | None) -> str | None:
        if value is not None:
            address = parseaddr(value)[1]
            if not value.isprintable() or "@" not in address:
                raise ValueError("should be an e-mail address such as crm@example.com")
            validate_email(address, check_deliverability=False, globally_deliverable=False)
        return value

    @field_validator("data_dir")
    @classmethod
    def _expanded(cls, value: Path) -> Path:
        return value.expanduser()


def _has_port(parts: SplitResult) -> bool:
    """Whether the port is a number from 1 to 65535, or left out."""
    try:
        return parts.port != 0
    except ValueError:
        return False


@cache
def settings() -> Settings:
    """The process's settings; read at first use."""
    return Settings()


def checked() -> Settings:
    """The process's settings. Raises `SetupError` with the first wrong one, in a line."""
    try:
        return settings()
    except ValueError as error:
        raise SetupError(_first_mistake(error)) from None


def _first_mistake(error: ValueError) -> str:
    """A wrong setting in a line: its variable and what it should be. The line goes into logs, so no password is in it."""
    for detail in getattr(error, "errors", list)():
        name = "CRMGQL_" + "_".join(str(part) for part in detail["loc"]).upper()
        value = PASSWORD.sub(r"\1\2***", str(detail.get("input")))
        what = str(detail["msg"]).removeprefix("Value error, ")
        return f"{name} is set to {value!r}: {what}. See docs/reference/settings.md."
    return str(error)

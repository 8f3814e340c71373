"""The API's application: wiring only. What is opened at start is closed at stop, in the other order."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from functools import partial
from pathlib import Path

import redis.asyncio
import structlog
from starlette.applications import Starlette
from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import RedirectResponse, Response
from starlette.routing import Route
from starlette.types import ASGIApp, Receive, Scope, Send

from crmgql import db, garbage, secrets_file, telemetry
from crmgql.config import Settings
from crmgql.domain.jobs import kinds, queues
from crmgql.domain.people.identity import Identities
from crmgql.engine import table_sizes
from crmgql.engine.errors import internal
from crmgql.engine.operations import Engine
from crmgql.errors import CrmError, SetupError
from crmgql.events.feed import Feed
from crmgql.http import (
    cors,
    events,
    exchange,
    exports,
    graphql,
    health,
    hooks,
    intake,
    papers,
    sockets,
    stream_tokens,
    webhook_keys,
)
from crmgql.http.addresses import Addresses, networks
from crmgql.http.bodies import Bodies
from crmgql.http.caps import Caps
from crmgql.http.metrics import Gauges, Metrics
from crmgql.http.open_streams import OpenStreams
from crmgql.http.renewals import Renewals
from crmgql.http.stream import EventStreams, Gone
from crmgql.http.throttling import Throttle
from crmgql.schema import build
from crmgql.viewer import system_clock
from crmgql.workers.bells import Bells

log = structlog.get_logger("crmgql")

GRAPHQL = "/graphql"
WAIT_S = 5.0
"""How long a request may wait for a database connection."""

HTTP_CODES = {404: "NOT_FOUND", 405: "METHOD_NOT_ALLOWED"}


def build_app(settings: Settings, shared_metrics: Path | None = None) -> App:
    """The ASGI application. `shared_metrics`: where the processes of one server leave their numbers."""
    return App(settings, shared_metrics)


class App:
    """`/graphql` goes straight to its endpoint, as do forms, whose endpoint knows its own origins, and what payment providers post;
    Starlette routes all else, which pages of other origins may not read.

    A route, its middleware and the objects that they make cost about 20 µs, a twentieth of a whole 360.
    """

    def __init__(self, settings: Settings, shared_metrics: Path | None) -> None:
        self.settings = settings
        self.shared_metrics = shared_metrics
        self.graphql: ASGIApp = _starting
        self.sockets: ASGIApp = _no_socket
        self.events: ASGIApp = _starting
        self.intake: ASGIApp = _starting
        self.hooks: ASGIApp = _starting
        self.exports: ASGIApp = _starting
        self.papers: ASGIApp = _starting
        self.tokens: ASGIApp = _starting
        self.rest: ASGIApp = _starting
        self.streams = OpenStreams(settings)
        self.stop_polls: Callable[[], None] = _nothing

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] == "lifespan":
            await self._live(receive, send)
        elif scope["type"] == "http" and scope["path"] == GRAPHQL:
            await self.graphql(scope, receive, send)
        elif scope["type"] == "websocket":
            await (self.sockets if scope["path"] == GRAPHQL else _no_socket)(scope, receive, send)
        elif scope["path"] == events.PATH or scope["path"].startswith(f"{events.PATH}/"):
            await self.events(scope, receive, send)
        elif scope["path"] == intake.PATH:
            await self.intake(scope, receive, send)
        elif scope["path"].startswith(hooks.PATH):
            await self.hooks(scope, receive, send)
        elif scope["path"].startswith(exports.PATH):
            await self.exports(scope, receive, send)
        elif scope["path"].startswith(papers.PATHS):
            await self.papers(scope, receive, send)
        elif scope["path"].startswith(stream_tokens.PATH):
            await self.tokens(scope, receive, send)
        else:
            await self.rest(scope, receive, send)

    def stopping(self) -> None:
        """Ends what would not end by itself, as the server waits for all that is under way."""
        self.streams.end_all(Gone())
        self.stop_polls()

    async def _live(self, receive: Receive, send: Send) -> None:
        """ASGI's lifespan. What an operator can mend is reported in one line, without a traceback."""
        await receive()
        step = "startup"
        try:
            async with self._opened():
                await send({"type": "lifespan.startup.complete"})
                await receive()
                step = "shutdown"
        except CrmError as error:
            await send({"type": f"lifespan.{step}.failed", "message": error.message})
            return
        except Exception:
            log.exception(f"{step} failed")
            await send({"type": f"lifespan.{step}.failed", "message": f"The API's {step} failed."})
            return
        await send({"type": "lifespan.shutdown.complete"})

    @asynccontextmanager
    async def _opened(self) -> AsyncIterator[None]:
        settings = self.settings
        allowed = cors.origins(settings.cors_origins)
        addresses = Addresses(networks(settings.trusted_proxies))
        telemetry.set_up(settings.otlp_endpoint)
        signing_key = secrets_file.secret(settings)
        async with _database(settings) as database, _valkey(settings) as valkey:
            bells = Bells(valkey)
            database.on_queued = bells.ring
            engine = build.engine(database, settings, secret=signing_key)
            engine.identities = Identities(database, signing_key)
            feed = engine.subscriptions.feed = Feed(database, valkey)
            caps = Caps(settings)
            metrics = Metrics(lambda: _gauges(engine, caps), self.shared_metrics)
            bodies, throttle = Bodies(settings.body_timeout_s), Throttle(valkey, "crmgql:intake")
            streams = EventStreams(engine, settings, metrics, caps, self.streams)
            endpoint = graphql.Endpoint(
                engine,
                engine.identities,
                settings,
                metrics,
                bodies=bodies,
                addresses=addresses,
                streams=streams,
            )
            plain = events.Endpoint(
                engine, settings, metrics, caps, streams, bodies=bodies, addresses=addresses, secret=signing_key
            )
            self.stop_polls = plain.stop
            self.graphql, self.events = (cors.Cors(each, allowed) if allowed else each for each in (endpoint, plain))
            self.sockets = sockets.Endpoint(
                engine, settings, metrics, caps, self.streams, addresses=addresses, origins=allowed
            )
            files = exports.Endpoint(engine, engine.identities, metrics, bodies=bodies, addresses=addresses)
            printed = papers.Endpoint(engine, engine.identities, metrics, bodies=bodies, addresses=addresses)
            renewals = Renewals(valkey, self.streams, signing_key, most=settings.max_streams_per_viewer)
            tokens = stream_tokens.Endpoint(renewals, engine.identities, metrics, bodies=bodies, addresses=addresses)
            self.exports, self.papers, self.tokens = (
                cors.Cors(each, allowed) if allowed else each for each in (files, printed, tokens)
            )
            self.intake = intake.Endpoint(database, throttle, metrics, bodies=bodies, addresses=addresses)
            self.hooks = hooks.Endpoint(database, metrics, bodies=bodies, addresses=addresses)
            checks: dict[str, health.Check] = {"PostgreSQL": database.ping, "Valkey": valkey.ping}
            if database.reads_replica:
                checks["replica"] = database.ping_replica
            healthy = health.routes(checks, metrics, partial(_depths, database))
            self.rest = _rest([*healthy, *webhook_keys.routes(database)])
            beside = [
                asyncio.create_task(work)
                for work in (
                    metrics.keep_leaving(),
                    table_sizes.keep(engine),
                    self.streams.beat(),
                    feed.run(),
                    renewals.run(),
                )
            ]
            for task in beside:
                task.add_done_callback(_log_end)
            garbage.leave_out()
            try:
                yield
            finally:
                for task in beside:
                    task.cancel()
                await asyncio.gather(*beside, return_exceptions=True)
                await bells.stop()
                metrics.leave()
                await asyncio.to_thread(telemetry.shut_down)


def _log_end(task: asyncio.Task[None]) -> None:
    """Nobody waits for what runs beside the requests: without a line its end would be noticed at the stop."""
    if not task.cancelled() and (error := task.exception()) is not None:
        log.error("work beside the requests ended", exc_info=error)


@asynccontextmanager
async def _database(settings: Settings) -> AsyncIterator[db.Database]:
    if settings.database_url is None:
        raise SetupError("No database: set CRMGQL_DATABASE_URL, or use crmgql dev, which starts one.")
    database = await db.connect(
        settings.database_url,
        read_url=settings.read_database_url,
        pool_size=settings.pool_size,
        statement_timeout_ms=settings.statement_timeout_ms,
        wait_s=WAIT_S,
        patient=True,  # it answers 503 until PostgreSQL is there
    )
    try:
        yield database
    finally:
        await database.close()


@asynccontextmanager
async def _valkey(settings: Settings) -> AsyncIterator[redis.asyncio.Redis]:
    """A client; it connects when it is used, as the API answers without Valkey too."""
    if settings.redis_url is None:
        raise SetupError("No Valkey: set CRMGQL_REDIS_URL, or use crmgql dev, which starts one.")
    try:
        valkey = redis.asyncio.Redis.from_url(settings.redis_url, socket_timeout=5, socket_connect_timeout=2)
    except ValueError:
        raise SetupError("CRMGQL_REDIS_URL must look like redis://host:6379/0.") from None
    try:
        yield valkey
    finally:
        await valkey.aclose()


def _rest(routes: list[Route]) -> ASGIApp:
    async def home(_: Request) -> Response:
        return RedirectResponse(GRAPHQL)

    return Starlette(
        routes=[Route("/", home), *routes],
        exception_handlers={HTTPException: _refused, Exception: _broken},
    )


async def _refused(request: Request, error: Exception) -> Response:
    assert isinstance(error, HTTPException)
    code = HTTP_CODES.get(error.status_code, "BAD_REQUEST")
    message = "There is nothing here; the API is at /graphql." if code == "NOT_FOUND" else error.detail
    body = exchange.encoded({"errors": [{"message": message, "extensions": {"code": code}}]})
    return Response(body, error.status_code, error.headers, media_type="application/json")


async def _broken(request: Request, error: Exception) -> Response:
    log.error("request failed", path=request.url.path, exc_info=error)
    return Response(exchange.encoded({"errors": [internal()]}), 500, media_type="application/json")


def _gauges(engine: Engine, caps: Caps) -> Gauges:
    sizes = engine.database.pool_sizes()
    return {
        "crmgql_plan_cache_plans": len(engine.plans),
        "crmgql_streams": caps.streams,
        "crmgql_subscriptions": caps.subscriptions,
        **{f"crmgql_db_{name}": size for name, size in sizes.items()},
    }


async def _depths(database: db.Database) -> queues.Depths:
    async with database.reserved() as connection:
        return await queues.depths(connection, queues=kinds.QUEUES, now=system_clock())


def _nothing() -> None: ...


async def _no_socket(scope: Scope, receive: Receive, send: Send) -> None:
    await receive()
    await send({"type": "websocket.close"})


async def _starting(scope: Scope, receive: Receive, send: Send) -> None:
    """Nothing is routed before everything is open; servers wait for the lifespan, so nobody should see this."""
    await send({"type": "http.response.start", "status": 503, "headers": [(b"content-type", b"application/json")]})
    body = {"errors": [{"message": "The API is starting.", "extensions": {"code": "SERVICE_UNAVAILABLE"}}]}
    await send({"type": "http.response.body", "body": exchange.encoded(body)})

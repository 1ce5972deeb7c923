"""The composition root: builds the server from its parts, starts it and stops it."""

from __future__ import annotations

import asyncio
import logging
import math
import signal
from collections.abc import AsyncIterator, Callable, Coroutine
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass
from functools import partial
from typing import Any
from uuid import UUID

from grpc import aio
from grpc_channelz.v1 import channelz, channelz_pb2
from grpc_health.v1 import health_pb2, health_pb2_grpc
from grpc_reflection.v1alpha import reflection

from blotter.audit.v1 import audit_service_pb2, audit_service_pb2_grpc
from blotter.orders.v1 import order_service_pb2, order_service_pb2_grpc
from blotter_verifier.notes import Verifier
from service import migrations
from service.calls import Calls
from service.domain.errors import DatabaseUnavailable, Refused
from service.domain.identity import CallerKind
from service.expiry import Expiry
from service.identification import Identification, identification
from service.interceptors.admission import Admission
from service.interceptors.backpressure import Backpressure
from service.interceptors.errors import Errors
from service.interceptors.identity import Identity
from service.interceptors.limits import Buckets, CallRate, OpenStreams
from service.interceptors.permissions import Permissions
from service.interceptors.requests import Parsed, Requests
from service.interceptors.telemetry import StreamStarts, Telemetry, ignore_disconnects
from service.observability.context import Traces
from service.observability.endpoint import metrics_endpoint
from service.observability.metrics import Metrics
from service.readiness import Readiness
from service.repositories.audit import Audit
from service.repositories.database import Database, login_to
from service.repositories.database_state import DatabaseState
from service.repositories.due import DueCancels
from service.repositories.events import Events
from service.repositories.inspection import Inspection
from service.repositories.order_reads import OrderReads
from service.repositories.orders import Orders
from service.repositories.probe import Probe
from service.repositories.proofs import Ledger
from service.repositories.queueing import Limits
from service.repositories.reconciliation import Reconciliation
from service.repositories.signature_check import check_signatures
from service.repositories.signatures import Signatures
from service.sampling import Sampling
from service.sequencing import KeyFolder, Sequencer
from service.sequencing.checkpoints import Checkpoints
from service.sequencing.sinks import DirectorySink, Witness
from service.servicers.audit import AuditServicer
from service.servicers.health import LIVENESS, READINESS, STARTUP, HealthServicer
from service.servicers.orders import OrderServicer
from service.settings import Settings
from service.streams import Feed
from service.tls import ServerTls

SERVICES = tuple(
    file.services_by_name[name].full_name
    for file, name in (
        (order_service_pb2.DESCRIPTOR, "OrderService"),
        (audit_service_pb2.DESCRIPTOR, "AuditService"),
    )
)

LEDGER = "blotter.ledger"
"""The health name of the ledger."""

MAX_METADATA = 16 * 1024

IDLE_SECONDS = 300
"""How long a connection may have no call. Such a connection costs a descriptor; clients reconnect when they call."""

WATCHES_END_SECONDS = 0.1
"""How long the stop waits for the health watches to send NOT_SERVING."""

ARRIVE_SECONDS = 0.5
"""How long, at most, the stop accepts calls in order to refuse them; never more than half of the grace."""

log = logging.getLogger("blotter.server")


BEYOND_SECONDS = 0.5
"""How long the stop waits, after the grace, for what it has cancelled."""


class Grace:
    """The grace period that all steps of the stop share. It begins with the first call of `left`."""

    def __init__(self, seconds: float) -> None:
        self._seconds = seconds
        self._end: float | None = None

    def left(self) -> float:
        """Return the remaining seconds."""
        now = asyncio.get_running_loop().time()
        if self._end is None:
            self._end = now + self._seconds
        return max(0.0, self._end - now)


class AddressInUse(Refused):
    """The address to listen on is in use or not an address."""


@dataclass(frozen=True, slots=True)
class Running:
    """A running server."""

    port: int
    feed: Feed
    backpressure: Backpressure
    metrics: Metrics
    metrics_port: int | None
    tasks: list[asyncio.Task[None]]
    """The background tasks; none of them ends by itself."""

    def drain(self) -> None:
        """End all open streams at once, and streams that are opened later."""
        self.backpressure.drain()


@asynccontextmanager
async def running(settings: Settings, conninfo: str) -> AsyncIterator[Running]:
    """Serve until the context ends; then end streams at once, and calls within the grace.

    Raises AddressInUse, TlsRefused, IdentityKeyRefused, and DatabaseUnavailable when a login or the sequencer cannot
    connect at the start.
    """
    metrics = Metrics()
    signatures = Signatures(settings.identity_key_file) if settings.identity_key_file else None
    database, own = _databases(settings, conninfo, signatures, metrics)
    grace = Grace(settings.grace_seconds)
    # The steps of the stop, in reverse order; each step runs even if another one raises.
    async with AsyncExitStack() as stop:
        # Calls and probes may arrive as soon as the server listens: health must be correct by then.
        health = HealthServicer(metrics)
        health.set(STARTUP, serving=False)
        health.set(LIVENESS, serving=True)
        metrics_port = await _metrics_port(stop, settings, metrics, health)
        traces = await _traces(stop, settings, metrics)
        await _open(stop, database, own, grace)
        await check_signatures(own, signatures)
        events = Events(database)
        feed = Feed(Events(own), settings.feed_poll_ms / 1000, metrics)
        sequencer = await _sequencer(settings, conninfo, feed, partial(health.set, LEDGER), metrics)

        def committed(trader_id: UUID) -> None:
            feed.hint(trader_id)
            sequencer.hint()

        orders = Orders(database, committed)
        admission = Admission()
        backpressure = Backpressure(metrics, settings.slow_consumer_seconds)
        callers = await stop.enter_async_context(identification(settings, own, backpressure.subjects, metrics))

        ignore_disconnects()
        server = aio.server(
            interceptors=[
                Telemetry(metrics, traces, settings.log_calls, settings.log_slow_ms / 1000),
                Errors(),
                admission,
                Requests(),
                Identity(callers.authentication, metrics, certificates=callers.certificates),
                *_rate(settings, metrics),
                Parsed(),
                Permissions(),
                OpenStreams(settings.max_streams_per_caller, settings.max_exports_per_caller),
                StreamStarts(settings.log_calls),
                backpressure,
            ],
            options=_options(settings),
        )
        order_service_pb2_grpc.add_OrderServiceServicer_to_server(
            OrderServicer(orders, OrderReads(database), events, feed), server
        )
        audit_service_pb2_grpc.add_AuditServiceServicer_to_server(_audit_servicer(database, feed), server)
        health_pb2_grpc.add_HealthServicer_to_server(health, server)
        _add_grpc_services(settings, server)

        readiness = _readiness(settings, conninfo, own, health, metrics, callers)
        await readiness.probe()
        port = await _listen(server, settings.listen, callers.tls)
        await server.start()
        expiry = Expiry(DueCancels(own, committed), settings.expiry_poll_ms / 1000, metrics)
        tasks = [
            asyncio.create_task(feed.run(), name="feed"),
            asyncio.create_task(expiry.run(), name="expiry"),
            asyncio.create_task(readiness.run(), name="readiness"),
            asyncio.create_task(Sampling(DatabaseState(own), metrics).run(), name="sampling"),
        ]
        if signatures:
            tasks.append(asyncio.create_task(signatures.run(), name="identity key"))
        tasks += [asyncio.create_task(run, name=name) for name, run in callers.running(backpressure.end_refused)]
        if settings.sequencer:
            tasks.append(asyncio.create_task(sequencer.run(), name="sequencer"))
        for task in tasks:
            task.add_done_callback(lambda _: health.set(LIVENESS, serving=False))
        stop.push_async_callback(_end, tasks, sequencer, grace)
        stop.push_async_callback(_stop, server, admission, grace)
        stop.callback(backpressure.drain)
        stop.push_async_callback(health.watches_ended, WATCHES_END_SECONDS)
        stop.callback(health.drain)
        stop.callback(admission.drain)
        stop.callback(grace.left)  # the first step
        health.set(STARTUP, serving=True)
        yield Running(port, feed, backpressure, metrics, metrics_port, tasks)


def _databases(
    settings: Settings, conninfo: str, signatures: Signatures | None, metrics: Metrics
) -> tuple[Database, Database]:
    """Return the connections for callers and those for the service's own tasks, which do not wait for each other."""
    of_callers = Database(
        conninfo,
        _pool_sizes(settings),
        _passwords(settings),
        metrics=metrics,
        limits=Limits(settings.max_calls, settings.max_calls_per_caller),
        pooler=settings.database_pooler,
        signatures=signatures,
    )
    # The tasks name themselves by the actor, and take turns: a slow read of the state and one of the principals leave a
    # connection to the others.
    own = Database(
        conninfo,
        {CallerKind.EXECUTION: 3},
        _passwords(settings),
        metrics=metrics,
        measured_as="service",
        limits=Limits(connections_per_caller=2),
        pooler=settings.database_pooler,
        signatures=signatures,
    )
    return of_callers, own


async def _listen(server: aio.Server, address: str, tls: ServerTls | None) -> int:
    """Listen on an address and return its port. Raises AddressInUse and TlsRefused."""
    credentials = await tls.credentials() if tls else None
    try:
        return server.add_secure_port(address, credentials) if credentials else server.add_insecure_port(address)
    except RuntimeError as error:
        raise AddressInUse(f"Cannot listen on {address}: it is in use, or not an address.") from error


async def _traces(stop: AsyncExitStack, settings: Settings, metrics: Metrics) -> Traces:
    """Send metrics and traces until the stop, if the settings ask for it; return what begins the traces of calls."""
    if settings.otlp_endpoint is None:
        return Traces()
    # The SDK takes longer to import than all that a server without a collector needs of this package.
    from service.observability.collector import collector  # noqa: PLC0415

    sending = collector(metrics, settings.otlp_endpoint, settings.otlp_seconds, settings.trace_ratio)
    return (await stop.enter_async_context(sending)).traces


async def _metrics_port(
    stop: AsyncExitStack, settings: Settings, metrics: Metrics, health: HealthServicer
) -> int | None:
    """Serve metrics and health over HTTP until the stop, if the settings ask for it; return the port.

    Raises AddressInUse.
    """
    listen = settings.metrics_listen
    if listen is None:
        return None
    try:
        port = await stop.enter_async_context(metrics_endpoint(metrics, listen, health.is_serving))
    except OSError as error:
        raise AddressInUse(
            f"Cannot serve metrics on {listen} (BLOTTER_METRICS_LISTEN): it is in use, or not an address."
        ) from error
    log.info("Metrics are at http://%s:%d/metrics", listen.rpartition(":")[0], port)
    return port


def _rate(settings: Settings, metrics: Metrics) -> list[aio.ServerInterceptor]:
    """Return the limit of each caller's calls, where the settings have one."""
    rate = settings.calls_per_second
    return [CallRate(Buckets(rate, settings.calls_burst or math.ceil(rate)), metrics)] if rate else []


def _add_grpc_services(settings: Settings, server: aio.Server) -> None:
    """Add gRPC's own services but health: channelz and reflection, where the settings have them."""
    names = [*SERVICES, health_pb2.DESCRIPTOR.services_by_name["Health"].full_name]
    if settings.channelz:
        channelz.add_channelz_servicer(server)  # type: ignore[no-untyped-call]  # it has no stubs
        names.append(channelz_pb2.DESCRIPTOR.services_by_name["Channelz"].full_name)
    if settings.reflection:
        reflection.enable_server_reflection((*names, reflection.SERVICE_NAME), server)


def _options(settings: Settings) -> list[tuple[str, int]]:
    """Return the options of the gRPC server."""
    options = [
        # A second server must not silently share the port.
        ("grpc.so_reuseport", 0),
        ("grpc.max_connection_age_ms", settings.max_connection_age_seconds * 1000),
        ("grpc.max_connection_age_grace_ms", 60_000),
        ("grpc.max_connection_idle_ms", round(IDLE_SECONDS * 1000)),
        ("grpc.keepalive_time_ms", 60_000),
        # For all clients at once, as after a restart: above the default of 1,000 gRPC drops calls at random.
        ("grpc.server.max_pending_requests", 50_000),
        ("grpc.server.max_pending_requests_hard_limit", 100_000),
        ("grpc.http2.min_ping_interval_without_data_ms", 10_000),
        # Above the first limit gRPC may refuse a call, above the second it does. Identity needs under 1 KiB.
        ("grpc.max_metadata_size", MAX_METADATA),
        ("grpc.absolute_max_metadata_size", MAX_METADATA),
        ("grpc.max_concurrent_streams", settings.max_concurrent_streams),
        ("grpc.max_receive_message_length", settings.max_request_bytes),
        ("grpc.server_handshake_timeout_ms", round(settings.handshake_seconds * 1000)),
        ("grpc.enable_channelz", int(settings.channelz)),
    ]
    if settings.max_connections:  # gRPC knows no number for "no maximum"
        options.append(("grpc.max_allowed_incoming_connections", settings.max_connections))
    return options


async def _stop(server: aio.Server, admission: Admission, grace: Grace) -> None:
    """Refuse the calls that have been sent, then stop the server within the rest of the grace."""
    # gRPC ends a call that has no handler yet with CANCELLED when it stops: such calls are accepted to be refused.
    await admission.quiet(min(ARRIVE_SECONDS, grace.left() / 2))
    stopping = asyncio.create_task(server.stop(grace.left()))
    await asyncio.sleep(0)  # sends GOAWAY, before the calls are refused
    admission.release()
    await asyncio.wait({stopping}, timeout=grace.left() + BEYOND_SECONDS)


async def _end(tasks: list[asyncio.Task[None]], sequencer: Sequencer, grace: Grace) -> None:
    for task in tasks:
        task.cancel()
    _, waiting = await asyncio.wait(tasks, timeout=grace.left() + BEYOND_SECONDS)
    if waiting:
        # The driver asks the database to cancel a statement, and waits for its response.
        sequencer.shut()
        for task in waiting:
            task.cancel()
        await asyncio.wait(waiting, timeout=BEYOND_SECONDS)


async def _open(stop: AsyncExitStack, database: Database, own: Database, grace: Grace) -> None:
    """Connect, and close at the stop. Raises DatabaseUnavailable."""
    for opened in (database, own):
        stop.push_async_callback(_close, opened, grace)
        await opened.open()


async def _close(database: Database, grace: Grace) -> None:
    await database.close(grace.left())


async def serve(settings: Settings, conninfo: str, ready: Callable[[str], None]) -> None:
    """Serve until SIGTERM or SIGINT. Calls `ready` with the address when the server accepts calls.

    Raises what `running` raises.
    """
    stop = asyncio.Event()
    loop = asyncio.get_running_loop()
    for name in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(name, stop.set)
    stopped = asyncio.create_task(stop.wait())
    async with AsyncExitStack() as stack:
        server = await _started(stack.enter_async_context(running(settings, conninfo)), stopped)
        if server is None:
            log.info("Stopping before the start is complete")
            return
        # The system has chosen the port if the setting's is 0.
        host, colon, _ = settings.listen.rpartition(":")
        address = settings.listen if settings.listen.startswith("unix:") else f"{host}{colon}{server.port}"
        log.info("Serving on %s", address, extra={"port": server.port})
        ready(address)
        done, _ = await asyncio.wait([stopped, *server.tasks], return_when=asyncio.FIRST_COMPLETED)
        ended = [task for task in server.tasks if task in done]
        for task in ended:
            error = None if task.cancelled() else task.exception()
            log.error("The task %s has ended; the server stops", task.get_name(), exc_info=error)
        log.info("Stopping")
        stopped.cancel()
    if ended:
        raise RuntimeError(f"The task {ended[0].get_name()} has ended.")


async def _started(start: Coroutine[Any, Any, Running], stopped: asyncio.Task[Any]) -> Running | None:
    """Return the started server; None when the stop is requested first. Raises what the start raises."""
    starting = asyncio.create_task(start)
    try:
        await asyncio.wait([starting, stopped], return_when=asyncio.FIRST_COMPLETED)
        if starting.done():
            return starting.result()
    finally:
        starting.cancel()
        await asyncio.gather(starting, return_exceptions=True)
    return None


def _readiness(
    settings: Settings,
    conninfo: str,
    own: Database,
    health: HealthServicer,
    metrics: Metrics,
    callers: Identification,
) -> Readiness:
    def report(serving: bool) -> None:
        for name in ("", *SERVICES, READINESS):
            health.set(name, serving)

    checks = Calls("The check of the database's revision", "check the network to the database")
    return Readiness(
        Probe(own),
        partial(_refusal, settings, conninfo, checks),
        settings.health_seconds,
        report,
        metrics,
        lambda: callers.keys is None or callers.keys.known,
    )


async def _refusal(settings: Settings, conninfo: str, checks: Calls) -> str | None:
    """Return why this release does not serve the database; None if it does. Raises DatabaseUnavailable."""
    password = _passwords(settings).get(CallerKind.TRADER)
    trader = login_to(conninfo, "blotter_trader", password, pooler=settings.database_pooler)
    try:
        await checks.run(partial(migrations.check_served, trader))
    except migrations.WrongRevision as error:
        return str(error)
    except TimeoutError as error:
        raise DatabaseUnavailable(str(error)) from error
    return None


def _audit_servicer(database: Database, feed: Feed) -> AuditServicer:
    return AuditServicer(
        Audit(database), Events(database), Ledger(database), Inspection(database), Reconciliation(database), feed
    )


async def _sequencer(
    settings: Settings, conninfo: str, feed: Feed, report: Callable[[bool], None], metrics: Metrics
) -> Sequencer:
    directory = DirectorySink(settings.checkpoints_folder) if settings.checkpoints_folder else None
    keys = KeyFolder(settings.keys_folder) if settings.keys_folder else None
    secret = settings.sequencer_password
    sequencer = Sequencer(
        settings.sequencer_database_url or conninfo,
        secret.get_secret_value() if secret else None,
        Checkpoints(settings.ledger_origin, keys, directory),
        directory,
        [Witness(url, Verifier.parse(key)) for url, key in settings.witness_keys],
        lambda: feed.hint(None),
        report,
        metrics,
        poll_seconds=settings.sequencer_poll_ms / 1000,
        idle_seconds=settings.feed_poll_ms / 1000,
        checkpoint_seconds=settings.checkpoint_seconds,
    )
    if settings.sequencer:
        await sequencer.check()
    return sequencer


def _pool_sizes(settings: Settings) -> dict[CallerKind, int]:
    return {
        CallerKind.TRADER: settings.trader_pool_size,
        CallerKind.EXECUTION: settings.execution_pool_size,
        CallerKind.COMPLIANCE: settings.compliance_pool_size,
        CallerKind.DESK: settings.desk_pool_size,
    }


def _passwords(settings: Settings) -> dict[CallerKind, str]:
    secrets = {kind: getattr(settings, f"{kind}_password") for kind in CallerKind}
    return {kind: secret.get_secret_value() for kind, secret in secrets.items() if secret is not None}

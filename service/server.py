"""The composition root: builds the server from its parts, starts it and stops it."""

from __future__ import annotations

import asyncio
import gc
import logging
import math
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
from service import migrations
from service.calls import Calls
from service.domain.errors import DatabaseUnavailable
from service.domain.identity import CallerKind
from service.expiry import Expiry
from service.identification import Identification, identification
from service.interceptors.admission import Admission
from service.interceptors.around import Check, Checks, Interceptor
from service.interceptors.backpressure import Backpressure
from service.interceptors.errors import Errors
from service.interceptors.identity import Identity
from service.interceptors.limits import Buckets, CallRate, OpenStreams
from service.interceptors.permissions import Permissions
from service.interceptors.requests import Parsed, Requests
from service.interceptors.shares import Shares
from service.interceptors.telemetry import StreamStarts, Telemetry, ignore_disconnects
from service.listening import listen, options
from service.observability.metrics import Metrics
from service.process import BEYOND_SECONDS, Grace, end_tasks, send_telemetry, serve_metrics, until_stopped
from service.readiness import Readiness
from service.repositories.audit import Audit
from service.repositories.database import Database
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
from service.repositories.sessions import login_to
from service.repositories.signature_check import check_signatures
from service.repositories.signatures import Signatures
from service.sampling import Sampling
from service.sequencing.building import sequencer as built_sequencer
from service.servicers.audit import AuditServicer
from service.servicers.health import LEDGER, LIVENESS, READINESS, STARTUP, HealthServicer
from service.servicers.orders import OrderServicer
from service.settings import Settings
from service.streams import Feed

SERVICES = tuple(
    file.services_by_name[name].full_name
    for file, name in (
        (order_service_pb2.DESCRIPTOR, "OrderService"),
        (audit_service_pb2.DESCRIPTOR, "AuditService"),
    )
)

WATCHES_END_SECONDS = 0.1
"""How long the stop waits for the health watches to send NOT_SERVING."""

ARRIVE_SECONDS = 0.5
"""How long, at most, the stop accepts calls in order to refuse them; never more than half of the grace."""

log = logging.getLogger("blotter.server")


@dataclass(frozen=True, slots=True)
class Running:
    """A running server."""

    port: int
    feed: Feed
    backpressure: Backpressure
    metrics: Metrics
    metrics_port: int | None
    health: HealthServicer
    tasks: list[asyncio.Task[None]]
    """The background tasks; none of them ends by itself."""

    def drain(self) -> None:
        """End all open streams at once, and streams that are opened later."""
        self.backpressure.drain()


@asynccontextmanager
async def running(
    settings: Settings, conninfo: str, *, others: Callable[[UUID], None] | None = None
) -> AsyncIterator[Running]:
    """Serve until the context ends; then end streams at once, and calls within the grace.

    `others`: the process is one of several that share the port, and another process sequences for them. It is called
    with each trader that has new events, to wake the others; the health of the ledger is set from outside.

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
        metrics_port = await serve_metrics(stop, settings, metrics, health.is_serving)
        traces = await send_telemetry(stop, settings, metrics)
        await _open(stop, database, own, grace)
        await check_signatures(own, signatures)
        events = Events(database)
        feed = Feed(events, Events(own), settings.feed_poll_ms / 1000, metrics)
        sequencer = built_sequencer(settings, conninfo, lambda: feed.hint(None), partial(health.set, LEDGER), metrics)
        sequences = settings.sequencer and others is None
        if sequences:
            await sequencer.check()
        elif settings.sequencer:
            health.set(LEDGER, serving=False)

        committed = _telling(feed, others or (lambda _: sequencer.hint()))
        orders = Orders(database, committed)
        admission = Admission()
        backpressure = Backpressure(metrics, settings.slow_consumer_seconds)
        callers = await stop.enter_async_context(identification(settings, own, backpressure.subjects, metrics))

        ignore_disconnects()
        server = aio.server(
            interceptors=[
                Interceptor(
                    Telemetry(metrics, traces, settings.log_calls, settings.log_slow_ms / 1000),
                    Errors(),
                    Checks(admission),
                    Requests(),
                    Checks(
                        Identity(callers.authentication, metrics, certificates=callers.certificates),
                        *_rate(settings, metrics),
                        Parsed(),
                        Permissions(),
                    ),
                    Shares(metrics, settings.max_calls, settings.max_calls_per_caller),
                    OpenStreams(settings.max_streams_per_caller, settings.max_exports_per_caller),
                    Checks(StreamStarts(settings.log_calls)),
                    backpressure,
                )
            ],
            options=options(settings, shared=others is not None),
        )
        servicer = OrderServicer(orders, OrderReads(database), events, feed)
        order_service_pb2_grpc.add_OrderServiceServicer_to_server(servicer, server)
        audit_service_pb2_grpc.add_AuditServiceServicer_to_server(_audit_servicer(database, feed), server)
        _add_grpc_services(settings, server, health)

        readiness = _readiness(settings, conninfo, own, health, metrics, callers)
        await readiness.probe()
        port = await listen(server, settings.listen, callers.tls)
        await server.start()
        expiry = Expiry(DueCancels(own, committed), settings.expiry_poll_ms / 1000, metrics)
        works: dict[str, Coroutine[Any, Any, None]] = {
            "feed": feed.run(),
            "expiry": expiry.run(),
            "readiness": readiness.run(),
            "sampling": Sampling(DatabaseState(own), metrics).run(),
            **dict(callers.running(backpressure.end_refused)),
        }
        if signatures:
            works["identity key"] = signatures.run()
        if sequences:
            works["sequencer"] = sequencer.run()
        tasks = [asyncio.create_task(work, name=name) for name, work in works.items()]
        for task in tasks:
            task.add_done_callback(lambda _: health.set(LIVENESS, serving=False))
        stop.push_async_callback(end_tasks, tasks, sequencer.shut, grace)
        _stop_calls(stop, server, admission, backpressure, health, grace)
        health.set(STARTUP, serving=True)
        yield Running(port, feed, backpressure, metrics, metrics_port, health, tasks)


def _telling(feed: Feed, others: Callable[[UUID], None]) -> Callable[[UUID], None]:
    """Return what announces the commits of this process: to its own streams, and to `others`."""

    def committed(trader_id: UUID) -> None:
        feed.hint(trader_id)
        others(trader_id)

    return committed


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
        combine=False,  # they are few, and cancels set a lock_timeout of their own
    )
    return of_callers, own


def _rate(settings: Settings, metrics: Metrics) -> list[Check]:
    """Return the limit of each caller's calls, where the settings have one."""
    rate = settings.calls_per_second
    return [CallRate(Buckets(rate, settings.calls_burst or math.ceil(rate)), metrics)] if rate else []


def _add_grpc_services(settings: Settings, server: aio.Server, health: HealthServicer) -> None:
    """Add gRPC's own services: health; channelz and reflection, where the settings have them."""
    health_pb2_grpc.add_HealthServicer_to_server(health, server)
    names = [*SERVICES, health_pb2.DESCRIPTOR.services_by_name["Health"].full_name]
    if settings.channelz:
        channelz.add_channelz_servicer(server)  # type: ignore[no-untyped-call]  # it has no stubs
        names.append(channelz_pb2.DESCRIPTOR.services_by_name["Channelz"].full_name)
    if settings.reflection:
        reflection.enable_server_reflection((*names, reflection.SERVICE_NAME), server)


def _stop_calls(
    stop: AsyncExitStack,
    server: aio.Server,
    admission: Admission,
    backpressure: Backpressure,
    health: HealthServicer,
    grace: Grace,
) -> None:
    """Add the first steps of the stop; the last one here is the first to run."""
    stop.push_async_callback(_stop, server, admission, grace)
    stop.callback(backpressure.drain)
    stop.push_async_callback(health.watches_ended, WATCHES_END_SECONDS)
    stop.callback(health.drain)
    stop.callback(admission.drain)
    stop.callback(grace.left)


async def _stop(server: aio.Server, admission: Admission, grace: Grace) -> None:
    """Refuse the calls that have been sent, then stop the server within the rest of the grace."""
    # gRPC ends a call that has no handler yet with CANCELLED when it stops: such calls are accepted to be refused.
    await admission.quiet(min(ARRIVE_SECONDS, grace.left() / 2))
    stopping = asyncio.create_task(server.stop(grace.left()))
    await asyncio.sleep(0)  # sends GOAWAY, before the calls are refused
    admission.release()
    await asyncio.wait({stopping}, timeout=grace.left() + BEYOND_SECONDS)


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

    def started(server: Running) -> None:
        leave_out_of_collections()
        address = address_of(settings.listen, server.port)
        log.info("Serving on %s", address, extra={"port": server.port})
        ready(address)

    await until_stopped(running(settings, conninfo), started)


def leave_out_of_collections() -> None:
    """Leave what was loaded at the start out of garbage collections.

    It is 125,000 objects that are never freed; to look at them stops the event loop for a tenth of a second.
    """
    gc.collect()
    gc.freeze()


def address_of(listen: str, port: int) -> str:
    """Return the address with the port that the system has chosen if the setting's is 0."""
    host, colon, _ = listen.rpartition(":")
    return listen if listen.startswith("unix:") else f"{host}{colon}{port}"


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

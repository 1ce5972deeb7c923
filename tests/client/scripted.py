"""A servicer that runs a test's script, on a real synchronous server."""

from __future__ import annotations

import json
import threading
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from typing import Any

import grpc
from google.protobuf.message import Message
from google.rpc import error_details_pb2, status_pb2
from grpc_status import rpc_status

from blotter.audit.v1 import audit_service_pb2, audit_service_pb2_grpc, execution_log_pb2
from blotter.orders.v1 import order_pb2, order_service_pb2_grpc, watch_pb2
from blotter_client import SERVICE_CONFIG

Play = Callable[[Any, grpc.ServicerContext], Any]


class Script:
    """The server's reaction to each call, and the calls that it received."""

    def __init__(self) -> None:
        self.plays: list[Play] = []
        self.methods: list[str] = []
        self.requests: list[Any] = []
        self.metadata: list[dict[str, str]] = []
        self.mute = threading.Event()
        """Set while the server holds a stream open and sends nothing."""
        self.released = threading.Event()
        """Set at the end of a test, to end such a stream."""

    def __call__(self, method: str, request: Any, context: grpc.ServicerContext) -> Any:
        self.methods.append(method)
        copy = type(request)()
        copy.CopyFrom(request)
        self.requests.append(copy)
        self.metadata.append({key: str(value) for key, value in context.invocation_metadata()})
        play = self.plays.pop(0) if self.plays else refuses("NOTHING_LEFT", grpc.StatusCode.INTERNAL)
        return play(request, context)

    @property
    def tokens(self) -> list[str]:
        """The resume tokens of the connections so far."""
        return [request.resume_token for request in self.requests]

    def hold(self, request: Any, context: grpc.ServicerContext) -> Any:
        """Hold a unary call open until the client has cancelled it."""
        list(self.silence(request, context))
        context.abort(grpc.StatusCode.DEADLINE_EXCEEDED, "the client has cancelled the call")

    def silence(self, request: Any, context: grpc.ServicerContext) -> Iterator[Any]:
        """Hold the stream open until the client has cancelled it."""
        gone = threading.Event()
        context.add_callback(gone.set)
        self.mute.set()
        while not (gone.wait(0.01) or self.released.is_set()):
            pass
        self.mute.clear()
        yield from ()


def answers(message: Message) -> Play:
    """Return a play that responds to a unary call."""
    return lambda _request, _context: message


def sends(*messages: Any, then: Play | None = None) -> Play:
    """Return a play that sends the messages, then runs `then` on the same stream or ends it with OK."""

    def play(request: Any, context: grpc.ServicerContext) -> Iterator[Any]:
        yield from messages
        if then is not None:
            yield from then(request, context)

    return play


def refuses(
    reason: str, code: grpc.StatusCode, *, details: tuple[Message, ...] = (), domain: str = "blotter", **metadata: str
) -> Play:
    """Return a play that ends the call with an error in the service's form."""

    def play(_request: Any, context: grpc.ServicerContext) -> Any:
        context.abort_with_status(rpc_status.to_status(status(reason, code, *details, domain=domain, **metadata)))

    return play


def cancels(_request: Any, context: grpc.ServicerContext) -> Any:
    """End the call with CANCELLED and no details, as a server does that stops before it has found the handler."""
    context.abort(grpc.StatusCode.CANCELLED, "CANCELLED")


def status(
    reason: str, code: grpc.StatusCode, *details: Message, domain: str = "blotter", **metadata: str
) -> status_pb2.Status:
    """Return a google.rpc.Status in the service's form."""
    result = status_pb2.Status(code=code.value[0], message=f"Because of {reason}.")
    result.details.add().Pack(error_details_pb2.ErrorInfo(domain=domain, reason=reason, metadata=metadata))
    for detail in details:
        result.details.add().Pack(detail)
    return result


def retry_after(seconds: int) -> error_details_pb2.RetryInfo:
    """Return a RetryInfo of the given seconds."""
    info = error_details_pb2.RetryInfo()
    info.retry_delay.FromSeconds(seconds)
    return info


def snapshot(*client_order_ids: str) -> watch_pb2.WatchOrdersResponse:
    """A part of a snapshot."""
    orders = [order_pb2.Order(client_order_id=client_order_id) for client_order_id in client_order_ids]
    return watch_pb2.WatchOrdersResponse(snapshot=watch_pb2.OrderSnapshot(orders=orders))


def complete(last: int, count: int = 0) -> watch_pb2.WatchOrdersResponse:
    """The end of a snapshot."""
    end = watch_pb2.SnapshotComplete(last_sequence=last, order_count=count)
    return watch_pb2.WatchOrdersResponse(resume_token=f"after-{last}", snapshot_complete=end)


def events(*sequences: int) -> watch_pb2.WatchOrdersResponse:
    """A message of events."""
    batch = watch_pb2.OrderEvents(events=[order_pb2.OrderEvent(sequence=sequence) for sequence in sequences])
    return watch_pb2.WatchOrdersResponse(resume_token=f"after-{sequences[-1]}", events=batch)


def heartbeat(last: int, last_event: int) -> watch_pb2.WatchOrdersResponse:
    """A heartbeat of a watch."""
    beat = watch_pb2.Heartbeat(last_sequence=last, last_event_sequence=last_event)
    return watch_pb2.WatchOrdersResponse(resume_token=f"after-{last}", heartbeat=beat)


def logs(*sequences: int) -> audit_service_pb2.StreamExecutionLogsResponse:
    """A message of execution logs."""
    batch = audit_service_pb2.ExecutionLogs(
        execution_logs=[execution_log_pb2.ExecutionLog(sequence=sequence) for sequence in sequences]
    )
    return audit_service_pb2.StreamExecutionLogsResponse(resume_token=f"after-{sequences[-1]}", logs=batch)


def log_heartbeat(last: int, last_event: int) -> audit_service_pb2.StreamExecutionLogsResponse:
    """A heartbeat of a stream of logs."""
    beat = watch_pb2.Heartbeat(last_sequence=last, last_event_sequence=last_event)
    return audit_service_pb2.StreamExecutionLogsResponse(resume_token=f"after-{last}", heartbeat=beat)


@contextmanager
def playing(script: Script, credentials: grpc.ServerCredentials | None = None) -> Iterator[str]:
    """Serve the script, with TLS if credentials are given; yields the target."""
    with ThreadPoolExecutor(8) as threads:
        server = grpc.server(threads)
        order_service_pb2_grpc.add_OrderServiceServicer_to_server(_methods(script, "Order"), server)
        audit_service_pb2_grpc.add_AuditServiceServicer_to_server(_methods(script, "Audit"), server)
        address = "127.0.0.1:0"
        port = server.add_secure_port(address, credentials) if credentials else server.add_insecure_port(address)
        server.start()
        try:
            yield f"127.0.0.1:{port}"
        finally:
            script.released.set()
            server.stop(None).wait()


def _methods(script: Script, service: str) -> Any:
    bases = {
        "Order": order_service_pb2_grpc.OrderServiceServicer,
        "Audit": audit_service_pb2_grpc.AuditServiceServicer,
    }
    base = bases[service]
    names = [name for name in vars(base) if not name.startswith("_")]
    return type(f"Scripted{service}", (base,), {name: _method(script, name) for name in names})()


def _method(script: Script, name: str) -> Callable[[Any, Any, grpc.ServicerContext], Any]:
    return lambda _self, request, context: script(name, request, context)


def quick_options() -> tuple[tuple[str, str], ...]:
    """Return the channel options of the client with a shorter backoff.

    With a backoff of 1 ms the next attempt of gRPC 1.85 often hangs until the deadline.
    """
    config = json.loads(SERVICE_CONFIG)
    for method in config["methodConfig"]:
        method["retryPolicy"] |= {"initialBackoff": "0.02s", "maxBackoff": "0.02s"}
    return (("grpc.service_config", json.dumps(config)),)

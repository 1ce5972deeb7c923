"""Identifies the caller: by a token or a client certificate, or by the call metadata.

The metadata alone authenticates nobody: listen on loopback, or behind a gateway that authenticates the caller and sets
these keys itself.
"""

from __future__ import annotations

import base64
import json
import time
from collections.abc import Sequence
from dataclasses import replace
from functools import lru_cache
from typing import Any, cast
from uuid import UUID

from google.protobuf.json_format import MessageToDict, SerializeToJsonError
from google.protobuf.message import Message

from service.authentication.certificates import certificate_of
from service.authentication.verified import Authentication, Credentials
from service.authentication.verified import Identity as VerifiedIdentity
from service.domain.errors import BlotterError, FieldViolation, IdentityMalformed, IdentityMissing, InvalidRequest
from service.domain.identity import CALLER, UUID_TEXT, Caller, CallerKind, ClientCertificate, Reading
from service.domain.permissions import needs_identity
from service.domain.text import ACTOR, KEY, RESERVED_ACTORS, is_reserved
from service.interceptors.around import Check, Context, Handler
from service.interceptors.telemetry import REQUEST_ID
from service.observability.metrics import Metrics

_ROLES = {kind.value: kind for kind in CallerKind if kind is not CallerKind.TRADER}
_KEYS = ("x-trader-id", "x-caller-role", "x-desk-id", "x-actor", "x-request-id")
LONGEST_TOKEN = 500

MOST_IDS = 10_000
"""The number of ids in the metadata whose UUID is remembered."""

TOKENS_UNREAD = (
    "This server reads no tokens (BLOTTER_AUTH=metadata): the call metadata must have exactly one of x-trader-id and "
    "x-caller-role."
)


class Identity(Check):
    """Sets the caller of each call. Health and reflection need no identity."""

    def __init__(self, authentication: Authentication, metrics: Metrics, *, certificates: bool) -> None:
        """`certificates` states that clients have certificates."""
        self._authentication = authentication
        self._metrics = metrics
        self._certificates = certificates

    def applies(self, method: str, handler: Handler) -> bool:
        """Return whether the permission table asks for an identity."""
        return needs_identity(method)

    async def check(self, method: str, request: Any, context: Context) -> None:
        """Set the caller of the call."""
        remaining = cast("float | None", context.time_remaining())  # None without a deadline, contrary to the stubs
        deadline = None if remaining is None else time.monotonic() + remaining
        try:
            caller = await self._identified(context, deadline)
        except BlotterError as error:
            self._metrics.authentication_failures.labels(error.reason).inc()
            raise
        if caller.kind is CallerKind.COMPLIANCE:
            caller = replace(caller, reading=Reading(method, lambda: _as_json(request)))
        CALLER.set(caller)

    async def _identified(self, context: Context, deadline: float | None) -> Caller:
        metadata = list(context.invocation_metadata() or ())
        certificate = _certificate(context) if self._certificates else None
        authorization = [value for key, value in metadata if key == "authorization"]
        verified = await self._authentication.identify(Credentials(authorization, certificate), deadline)
        if verified:
            return verified_caller(verified, metadata, REQUEST_ID.get(), deadline, certificate)
        caller = caller_from(metadata, REQUEST_ID.get(), deadline)
        return replace(caller, certificate=certificate, expires_at=certificate.expires_at) if certificate else caller


def _certificate(context: Context) -> ClientCertificate | None:
    [pem] = context.auth_context().get("x509_pem_cert", [None])
    return certificate_of(pem) if pem else None


def verified_caller(
    verified: VerifiedIdentity,
    metadata: Sequence[tuple[str, str | bytes]],
    request_id: str,
    deadline: float | None,
    certificate: ClientCertificate | None,
) -> Caller:
    """Return the caller that a token or certificate proves. Keys that name a caller may only repeat the same one.

    Raises IdentityMalformed, or InvalidRequest for an invalid request id.
    """
    principal = verified.principal
    proved = {
        "x-trader-id": str(principal.trader_id),
        "x-desk-id": str(principal.desk_id),
        "x-caller-role": principal.kind.value,
        "x-actor": verified.actor,
    }
    for key, value in metadata:
        if key in proved and (value.lower() if key.endswith("-id") else value) != proved[key]:
            raise IdentityMalformed(f"{key} contradicts the token or certificate; leave it out.")
    _check_request_ids([value for key, value in metadata if key == "x-request-id"])
    ends = [verified.expires_at, *([certificate.expires_at] if certificate else [])]
    return Caller(
        principal.kind,
        principal.trader_id,
        verified.actor,
        request_id,
        deadline,
        desk_id=principal.desk_id,
        subject=verified.subject,
        expires_at=min(ends),
        certificate=certificate,
        key_id=verified.key_id,
        principal=principal,
    )


def caller_from(metadata: Sequence[tuple[str, str | bytes]], request_id: str, deadline: float | None) -> Caller:
    """Return the caller. Raises IdentityMissing, IdentityMalformed, or InvalidRequest for an invalid request id."""
    given: dict[str, list[str | bytes]] = {key: [] for key in _KEYS}
    for key, value in metadata:
        if key in given:
            given[key].append(value)
    traders, roles, desks, actors, request_ids = given.values()
    if len(traders) + len(roles) != 1:
        if not traders and not roles and any(key == "authorization" for key, _ in metadata):
            raise IdentityMissing(TOKENS_UNREAD)
        raise IdentityMissing
    _check_optional(actors, request_ids)
    kind = CallerKind.TRADER if traders else _ROLES.get(str(roles[0]))
    if kind is None:
        raise IdentityMalformed(f"x-caller-role must be one of {', '.join(_ROLES)}.")
    trader_id = _uuid("x-trader-id", traders) if traders else None
    desk_id = _uuid("x-desk-id", desks) if desks or kind is CallerKind.DESK else None
    if desk_id and kind is not CallerKind.DESK:
        raise IdentityMalformed("x-desk-id is for the role desk only; leave it out.")
    actor = str(actors[0]) if actors else kind.value
    if actors and is_reserved(actor, RESERVED_ACTORS - {kind.value}):
        raise IdentityMalformed(f"x-actor must not be {actor}: the name is reserved. Send another name, or none.")
    return Caller(kind, trader_id, actor, request_id, deadline, desk_id=desk_id)


def _uuid(key: str, values: Sequence[str | bytes]) -> UUID:
    """Return the UUID of a key that must be given once. Raises IdentityMalformed."""
    match values:
        case [str(text)] if UUID_TEXT.fullmatch(text):
            return _uuid_of(text)
    raise IdentityMalformed(f"{key} must be given once, as a UUID.")


_uuid_of = lru_cache(MOST_IDS)(UUID)


def _check_optional(actors: list[str | bytes], request_ids: list[str | bytes]) -> None:
    if len(actors) > 1 or any(not isinstance(actor, str) or not ACTOR.fullmatch(actor) for actor in actors):
        raise IdentityMalformed(
            "x-actor must be given at most once, as 1 to 100 printable ASCII characters without a space at either end."
        )
    _check_request_ids(request_ids)


def _check_request_ids(request_ids: list[str | bytes]) -> None:
    if len(request_ids) > 1 or any(not isinstance(given, str) or not KEY.fullmatch(given) for given in request_ids):
        raise InvalidRequest(
            FieldViolation(
                "metadata.x-request-id",
                "must be given at most once, as 1 to 64 printable ASCII characters without spaces",
            )
        )


def _as_json(request: Message) -> str:
    """Return the request as JSON for the record of reads by compliance. Raises nothing for any request."""
    try:
        values = MessageToDict(request, preserving_proto_field_name=True)
    except (SerializeToJsonError, ValueError, OverflowError):  # an invalid Timestamp or Duration
        raw = request.SerializeToString()
        return json.dumps({"malformed": base64.b64encode(raw[:LONGEST_TOKEN]).decode()})
    # A token identifies the page that was read. A longer one is invalid, and must not fill the record.
    tokens = {name: value[:LONGEST_TOKEN] for name, value in values.items() if name.endswith("_token")}
    return json.dumps(values | tokens)

"""What concerns the caller once the request has arrived, which may be long after the metadata."""

from __future__ import annotations

import base64
import json
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import replace
from typing import Any

from google.protobuf.json_format import MessageToDict, SerializeToJsonError
from google.protobuf.message import Message

from service.authentication.verified import Authentication
from service.domain.identity import CALLER, CallerKind, Reading
from service.domain.permissions import needs_identity
from service.interceptors.around import Around, Context, Handler

LONGEST_TOKEN = 500


class Arrival(Around):
    """Refuses a caller whose identity has ended meanwhile, and describes the reads of compliance for their record.

    Inside of `Requests`.
    """

    def __init__(self, authentication: Authentication) -> None:
        self._authentication = authentication

    def applies(self, method: str, handler: Handler) -> bool:
        """Return whether a call of the method has a caller."""
        return needs_identity(method)

    @asynccontextmanager
    async def around(self, method: str, request: Any, context: Context) -> AsyncIterator[None]:
        """Let the call pass, or raise the error of the caller's identity."""
        caller = CALLER.get()
        if error := self._authentication.refusal(caller):
            raise error
        if caller.kind is CallerKind.COMPLIANCE:
            CALLER.set(replace(caller, reading=Reading(method, lambda: _as_json(request))))
        yield


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

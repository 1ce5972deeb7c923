"""The errors of the domain. `service/status.py` maps each to a gRPC status."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import timedelta
from typing import ClassVar

LONGEST_SHOWN = 200
"""The most characters of a caller's own text in a message: a client drops an answer whose metadata exceeds 8 KiB."""


class Refused(Exception):
    """The operator asked for what cannot be done, or set what cannot be used. The text gives the reason and the remedy.

    The command line prints it in one sentence.
    """


class BlotterError(Exception):
    """An error that is returned to the client.

    `reason` is machine-readable and never changes; the message is one sentence for people; `metadata` holds further
    values for programs.
    """

    reason: ClassVar[str]
    sentence: ClassVar[str]

    def __init__(self, sentence: str | None = None, **metadata: str) -> None:
        super().__init__(sentence or self.sentence)
        self.metadata = metadata
        self.logged: dict[str, str] = {}
        """Fields for the log line of the call. They are not sent."""


@dataclass(frozen=True, slots=True)
class FieldViolation:
    """One invalid field of a request: its path (`orders[3].price`) and what it must be."""

    field: str
    description: str


class InvalidRequest(BlotterError):
    """One or more fields are invalid; the error names all of them."""

    reason = "INVALID_REQUEST"

    def __init__(self, *violations: FieldViolation) -> None:
        first = violations[0]
        more = f" (and {len(violations) - 1} more)" if len(violations) > 1 else ""
        super().__init__(f"{first.field}: {first.description}{more}")
        self.violations = violations


class MalformedRequest(BlotterError):
    """Bytes that are not a message of the contract."""

    reason = "MALFORMED_REQUEST"
    sentence = "The request cannot be read: its bytes are not the message that this method takes."


class InvalidPageToken(BlotterError):
    """A page token that is damaged, or of another caller or other filters."""

    reason = "INVALID_PAGE_TOKEN"
    sentence = "The page token is damaged, or belongs to another caller or to other filters."


class InvalidResumeToken(BlotterError):
    """A resume token that is damaged, or of another caller or other filters."""

    reason = "INVALID_RESUME_TOKEN"
    sentence = "The resume token is damaged, or belongs to another caller or to other filters."


class ResumeTokenOutOfRange(BlotterError):
    """A resume token for events that do not exist."""

    reason = "RESUME_TOKEN_OUT_OF_RANGE"
    sentence = "The resume token points outside of the events that are kept; start again without it."


class IdentityMissing(BlotterError):
    """The metadata names no caller, or more than one."""

    reason = "IDENTITY_MISSING"
    sentence = "The call metadata must have exactly one of x-trader-id and x-caller-role."


class IdentityMalformed(BlotterError):
    """A metadata value that is invalid."""

    reason = "IDENTITY_MALFORMED"


class TokenInvalid(BlotterError):
    """A bearer token that is not accepted. The cause is one of a fixed list and holds nothing of the token."""

    reason = "TOKEN_INVALID"

    def __init__(self, cause: str) -> None:
        super().__init__(f"The bearer token is not accepted: {cause}.")
        self.logged["cause"] = cause


class TokenExpired(BlotterError):
    """A bearer token, of a new call or of an open stream, that has expired."""

    reason = "TOKEN_EXPIRED"
    sentence = "The bearer token has expired; call again with a new one, and resume a stream with its last token."


class CertificateExpired(BlotterError):
    """A client certificate that has expired since the connection was made."""

    reason = "CERTIFICATE_EXPIRED"
    sentence = "The client certificate has expired; connect again with a new one."


class CertificateRevoked(BlotterError):
    """A client certificate that is in the revocation list."""

    reason = "CERTIFICATE_REVOKED"
    sentence = "The client certificate is revoked."


class UnknownPrincipal(BlotterError):
    """A verified subject that the table principals does not have."""

    reason = "UNKNOWN_PRINCIPAL"

    def __init__(self, subject: str) -> None:
        shown = subject if len(subject) <= LONGEST_SHOWN else f"{subject[:LONGEST_SHOWN]}..."
        super().__init__(
            f'The subject of the token or certificate is not registered as a principal: "{shown}". '
            "`blotter principals add` registers it."
        )


class PrincipalDisabled(BlotterError):
    """A principal whose calls are refused, or that has become another caller while its stream was open."""

    reason = "PRINCIPAL_DISABLED"
    sentence = "The principal is disabled. `blotter principals enable` accepts its calls again."


class IdentityUnavailable(BlotterError):
    """The caller cannot be verified for now: the issuer's keys or the principals cannot be read."""

    reason = "IDENTITY_UNAVAILABLE"
    sentence = "The identity of the caller cannot be verified at the moment."


class UnknownTrader(BlotterError):
    """A trader who is not registered."""

    reason = "UNKNOWN_TRADER"
    sentence = "The trader is not registered."


class UnknownDesk(BlotterError):
    """A desk that is not registered."""

    reason = "UNKNOWN_DESK"
    sentence = "The desk is not registered."


class TraderDisabled(BlotterError):
    """A trader whose own calls are refused."""

    reason = "TRADER_DISABLED"
    sentence = "The trader is disabled."


class WrongRole(BlotterError):
    """The method is not for this kind of caller."""

    reason = "WRONG_ROLE"

    def __init__(self, actual: str, *allowed: str) -> None:
        whom = " and ".join(allowed) or "no caller"
        super().__init__(f"This method is for {whom}, not for {actual}.", allowed=",".join(allowed))


class OrderNotFound(BlotterError):
    """An order that does not exist, or is another trader's: the two look the same."""

    reason = "ORDER_NOT_FOUND"
    sentence = "There is no such order."


class LogNotFound(BlotterError):
    """An execution log, or a position, that does not exist."""

    reason = "LOG_NOT_FOUND"
    sentence = "There is no such execution log."


class LogNotYetInLedger(BlotterError):
    """An execution log that was committed a moment ago, or that no checkpoint covers yet."""

    reason = "LOG_NOT_YET_IN_LEDGER"
    sentence = "The execution log is not in the ledger, or in a signed checkpoint of it, yet."


class CheckpointNotFound(BlotterError):
    """A checkpoint that was never signed."""

    reason = "CHECKPOINT_NOT_FOUND"
    sentence = "There is no checkpoint of this size, or the ledger has no signed entry yet."


class TreeSizeOutOfRange(BlotterError):
    """A tree that does not exist, or does not contain the entry to be proved."""

    reason = "TREE_SIZE_OUT_OF_RANGE"
    sentence = "There is no tree of this size, or it does not hold what is to be proved."


class PositionOutOfRange(BlotterError):
    """A range of the ledger that no checkpoint covers."""

    reason = "POSITION_OUT_OF_RANGE"
    sentence = "The positions are outside of what the newest checkpoint covers."


class LedgerDamaged(BlotterError):
    """A proof from the ledger does not verify: the ledger was changed outside of the service."""

    reason = "LEDGER_DAMAGED"
    sentence = "The ledger no longer proves what it should."


class ClientOrderIdReused(BlotterError):
    """The same client_order_id with other content."""

    reason = "CLIENT_ORDER_ID_REUSED"
    sentence = "Another order was entered under this client_order_id, or it is the key of a request."


class ReportIdReused(BlotterError):
    """The same report_id with other content."""

    reason = "REPORT_ID_REUSED"
    sentence = "Another report was recorded under this report_id."


class ExecutionIdReused(BlotterError):
    """The same execution_id of the same venue and trade date with other content."""

    reason = "EXECUTION_ID_REUSED"
    sentence = "Another fill or correction of this venue and trade date was recorded under this execution_id."


class RequestKeyReused(BlotterError):
    """The same request_key with other content, or for another order, or a client_order_id as request_key."""

    reason = "REQUEST_KEY_REUSED"
    sentence = "Another request or order was entered under this request_key."


class RequestPending(BlotterError):
    """The order has a request that waits for the venue's answer; one at a time may."""

    reason = "REQUEST_PENDING"
    sentence = "Another request for the order waits for the venue's answer."


class RequestNotPending(BlotterError):
    """A venue's acceptance of a replace that is not pending."""

    reason = "REQUEST_NOT_PENDING"
    sentence = "The order has no such pending replace; the refusal is in the audit trail."


class OrderChanged(BlotterError):
    """The order's last sequence is not the expected one."""

    reason = "ORDER_CHANGED"
    sentence = "The order has changed: its last_sequence is not the expected one. Read it again and decide anew."


class OrderClosed(BlotterError):
    """The order is filled, rejected or cancelled, and the call needs an open one."""

    reason = "ORDER_CLOSED"
    sentence = "The order is closed."


class FillNotFound(BlotterError):
    """A correction or bust of a fill that is not recorded for the order, or is busted."""

    reason = "FILL_NOT_FOUND"
    sentence = "The order has no such fill, or it is busted; the refusal is in the audit trail."


class Overfill(BlotterError):
    """A repeated report of a fill that revisions before 020 refused. Such fills are recorded since."""

    reason = "OVERFILL"
    sentence = "The fill was refused for being more than the order had left; the refusal is in the audit trail."


class SlowConsumer(BlotterError):
    """A client that does not read its stream."""

    reason = "SLOW_CONSUMER"
    sentence = "The stream was not read for too long; resume with the last token, nothing is lost."


class RateLimited(BlotterError):
    """The caller has made more calls than its rate permits. `wait`: the time until its next call passes."""

    reason = "RATE_LIMITED"

    def __init__(self, wait: timedelta) -> None:
        again = f"call again in {wait.total_seconds():g} s" if wait else "call again now, and less often"
        super().__init__(f"The caller exceeds its rate of calls, and nothing was done; {again}.")
        self.wait = wait


class TooManyStreams(BlotterError):
    """The caller has as many streams, or exports, open as one may; or all callers without an identity do."""

    reason = "TOO_MANY_STREAMS"

    def __init__(self, most: int, *, together: bool = False) -> None:
        """`together` states that the maximum is that of all callers without an identity."""
        holders = "All callers together have" if together else "The caller has"
        super().__init__(f"{holders} {most} such streams open, the maximum; close one.", most=str(most))


class Draining(BlotterError):
    """The server is about to stop."""

    reason = "DRAINING"
    sentence = "The server is stopping; resume elsewhere with the last token, nothing is lost."


class DatabaseUnavailable(BlotterError):
    """The database cannot be reached or has not answered. The work may have been done: repeat it with the same key."""

    reason = "DATABASE_UNAVAILABLE"
    sentence = "The database cannot be reached at the moment."


class DatabaseBusy(BlotterError):
    """Too many calls wait already, or no connection became free in time; nothing was written."""

    reason = "DATABASE_BUSY"
    sentence = "The database is busy at the moment; nothing was written."


class Aborted(BlotterError):
    """The database rolled the transaction back because of another session; nothing was written."""

    reason = "ABORTED"
    sentence = "The transaction conflicted with another one and was rolled back; nothing was written."


class StatementTimeout(BlotterError):
    """A statement exceeded the service's own time limit; nothing was written."""

    reason = "STATEMENT_TIMEOUT"
    sentence = "The database did not finish a statement within 60 seconds; nothing was written."


class DeadlineExceeded(BlotterError):
    """The client's deadline passed before the database had finished; nothing was written."""

    reason = "DEADLINE_EXCEEDED"
    sentence = "The deadline passed before the work was done; nothing was written."

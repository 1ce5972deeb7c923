"""Call metadata of each kind of caller, with and without additional keys."""

from __future__ import annotations

import random
from uuid import UUID

from tests.conftest import ALICE, BOB
from tests.isolation.desk import EQUITIES
from tests.serving import COMPLIANCE, EXECUTION, as_desk, as_trader

Metadata = tuple[tuple[str, str | bytes], ...]
CALLERS: dict[str, Metadata] = {
    "trader": as_trader(ALICE),
    "other trader": as_trader(BOB),
    "execution": EXECUTION,
    "compliance": COMPLIANCE,
    "desk": as_desk(EQUITIES),
}
UNIDENTIFIED: dict[str, Metadata] = {
    "nobody": (),
    "an unknown trader": as_trader(UUID(int=7)),
    "several keys": (*as_trader(ALICE), *EXECUTION),
    "two traders": (*as_trader(ALICE), *as_trader(BOB)),
    "binary keys": (("x-trader-id-bin", ALICE.bytes), ("x-caller-role-bin", b"compliance")),
    "a malformed trader": (("x-trader-id", f"{ALICE}' OR true"),),
    "an unknown role": (("x-caller-role", "owner"),),
    "an unknown desk": as_desk(UUID(int=7)),
    "a desk's role alone": (("x-caller-role", "desk"),),
}
ADDITIONAL: tuple[Metadata, ...] = (
    (("x-actor", "ada"),),
    (("x-actor", "blotter"),),
    (("x-actor", ""),),
    (("x-actor", "a" * 101),),
    (("x-actor", "ada"), ("x-actor", "ada")),
    (("x-actor-bin", bytes(range(256))),),
    (("x-request-id", "ask-1"),),
    (("x-request-id", "a b"),),
    (("x-request-id", "r" * 65),),
    (("x-request-id", "one"), ("x-request-id", "two")),
    (("x-request-id-bin", b"\xff\0"),),
    (("grpc-trace-bin", b"\0" * 300), ("traceparent", "00-zz")),
    (("grpc-accept-encoding", "nothing"),),
    tuple((f"x-many-{number}", "v" * 20) for number in range(60)),
    (("x-large", "v" * 7_000),),
    (("x-huge", "v" * 100_000),),
)


def trader_of(kind: str) -> UUID | None:
    """The only trader whose rows this kind of caller may see; None for one that sees all rows, or none."""
    return {"trader": ALICE, "other trader": BOB, "desk": ALICE}.get(kind)


def pick(rng: random.Random) -> tuple[str, Metadata]:
    """A kind of caller and its metadata: mostly an identified one, mostly without additional keys."""
    kinds = CALLERS if rng.random() < 0.85 else UNIDENTIFIED
    kind = rng.choice(sorted(kinds))
    additional = rng.choice(ADDITIONAL) if rng.random() < 0.15 else ()
    return kind, (*kinds[kind], *additional)

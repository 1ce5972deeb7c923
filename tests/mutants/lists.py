"""All mutants, and the further tests that survivors are tried on."""

from __future__ import annotations

from tests.mutants import (
    append,
    bulk,
    identity,
    lifecycle,
    orders,
    reconciliation,
    sharing,
    streams,
    verifier,
    workers,
)
from tests.mutants.mutant import Mutant

MUTANTS: tuple[Mutant, ...] = (
    *orders.MUTANTS,
    *identity.MUTANTS,
    *lifecycle.MUTANTS,
    *append.MUTANTS,
    *bulk.MUTANTS,
    *verifier.MUTANTS,
    *reconciliation.MUTANTS,
    *sharing.MUTANTS,
    *streams.MUTANTS,
    *workers.MUTANTS,
)

# Never tests/migrations: a snapshot or a digest notices every change and judges none. The same holds for
# tests/isolation/test_catalogue.py, which compares lists.
BROADER = {
    "alembic": (
        "tests/isolation/test_guards.py", "tests/isolation/test_lifecycle.py", "tests/isolation/test_logins.py",
        "tests/isolation/test_keys.py", "tests/isolation/test_append_only.py",
        "tests/isolation/test_matrix.py", "tests/rpc/test_lifecycle.py", "tests/rpc/test_idempotency.py",
        "tests/ledger/test_appending.py", "tests/ledger/test_crashes.py",
    ),
    "service": ("tests/ledger", "tests/streams"),
    "packages": ("tests/ledger",),
}  # fmt: skip

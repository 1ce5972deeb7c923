"""Checks at the start that the database accepts the identities that this process signs."""

from __future__ import annotations

import logging

from service.domain.errors import IdentityUnavailable
from service.domain.identity import Caller, CallerKind
from service.repositories.database import Database
from service.repositories.messages import Statement
from service.repositories.signatures import CLOCKS_APART, IdentityKeyRefused, Signatures

_UNSIGNED = Statement("SELECT set_config('app.identity', '', true)")
_ACCEPTED = Statement("SELECT identity_is_signed()")

log = logging.getLogger("blotter.signatures")


async def check_signatures(own: Database, signatures: Signatures | None) -> None:
    """Raise IdentityKeyRefused if the database refuses the identities of this process. Raises DatabaseUnavailable.

    Logs a warning if it accepts them without a signature as well.
    """
    caller = Caller(CallerKind.EXECUTION, None, "blotter", "start")
    try:
        _, [(unsigned,)] = await own.run(caller, _UNSIGNED, _ACCEPTED)
    except IdentityUnavailable as error:
        if signatures is None:
            raise IdentityKeyRefused(
                "The database accepts signed identities only: set BLOTTER_IDENTITY_KEY to the file of its key. See "
                "docs/isolation.md."
            ) from error
        raise IdentityKeyRefused(
            f"The database refuses signatures of the key {signatures.key.id} in {signatures.file} "
            "(BLOTTER_IDENTITY_KEY): either the key is not in use there (`blotter identity-key list` shows those that "
            f"are), or the clocks of this host and the database differ by more than {CLOCKS_APART:.0f} s."
        ) from error
    if unsigned and signatures:
        log.warning(
            "The database has no identity key in use and accepts unsigned identities, although BLOTTER_IDENTITY_KEY is "
            "set: run `blotter identity-key register`."
        )

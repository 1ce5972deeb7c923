"""The rules of text that enters the record: which characters it may contain, and which words are reserved.

Triggers of revisions 016 and 020 enforce the part of these rules that SQL can express, against raw SQL. They accept all
text that passes here; tests/isolation/test_text.py compares the two.
"""

from __future__ import annotations

import re
import unicodedata

KEY = re.compile(r"[!-~]{1,64}")
"""A client_order_id, request key, report_id, execution_id or request id."""

CODE = re.compile(r"[!-~]{1,50}")
"""A machine-readable error code."""

SYMBOL = re.compile(r"(?! )[A-Za-z0-9.\-/=:^_ ]{1,22}(?<! )")

CURRENCY = re.compile(r"[A-Z]{3}")
"""ISO 4217."""

LABEL_KEY = re.compile(r"[a-z0-9_.\-]{1,32}")
"""The key of one of an order's labels."""

ACCOUNT = re.compile(r"(?! )[ -~]{1,64}(?<! )")

ACTOR = re.compile(r"(?! )[ -~]{1,100}(?<! )")
"""ASCII only: an actor could imitate another's name with letters of other scripts that look like Latin ones."""

RESERVED_ACTORS = frozenset({"blotter", "sequencer", "trader", "execution", "compliance"})
"""The service's own names, and the actors of callers that send no `x-actor`: one for each kind that records something.

A desk records nothing."""

RESERVED_REASONS = frozenset({"DISCONNECTED", "DONE_FOR_DAY", "EXPIRED", "LATE_FILL", "OVERFILL"})
"""The reasons that the service gives for events of its own."""

# Characters without a glyph that str.isprintable() accepts: Default_Ignorable_Code_Point outside of category Cf, and
# the Braille pattern without dots.
_INVISIBLE = re.compile(
    "[\u034f\u115f\u1160\u17b4\u17b5\u180b-\u180d\u180f\u2800\u3164\ufe00-\ufe0f\uffa0\U000e0100-\U000e01ef]"
)


def is_visible(text: str) -> bool:
    """Return whether each character is a space or has a glyph: no control, format, direction or zero-width character.

    No-break and other special spaces are refused as well.
    """
    return text.isprintable() and not _INVISIBLE.search(text)


def is_reserved(text: str, words: frozenset[str]) -> bool:
    """Return whether the text equals one of the words in any case, width or ligature, with or without spaces around it.

    The caller bounds the length.
    """
    seen = _INVISIBLE.sub("", text).strip()
    if len(seen) > max(map(len, words)):
        # Normalization makes no text shorter that becomes an ASCII word, and it is slow: one character can become 18,
        # and on a run of combining marks the time grows with its square.
        return False
    folded = unicodedata.normalize("NFKC", seen).strip().casefold()
    # Also compare in upper case: there a dotless i becomes an I, in Python and in databases of some locales.
    forms = {folded, folded.upper().casefold()}
    return any(word.casefold() in forms for word in words)

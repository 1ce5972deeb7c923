"""Checks of fields that cannot be tested by a call."""

from __future__ import annotations

import unicodedata
from typing import Any

import pytest

from service.servicers.fields import Fields


def test_a_text_that_is_too_long_is_not_normalised(monkeypatch: pytest.MonkeyPatch) -> None:
    """A run of 200,000 combining marks would take minutes, in which the event loop is blocked."""

    normalised: list[int] = []
    normalize = unicodedata.normalize

    def counting(form: Any, text: str) -> str:
        normalised.append(len(text))
        return normalize(form, text[:1000])

    monkeypatch.setattr(unicodedata, "normalize", counting)
    fields = Fields()
    fields.reason("reason", "a" + "\u0300\u0316" * 100_000)
    # Each becomes 18 characters; no text that is longer than the longest reserved word becomes one.
    fields.reason("reason", "\ufdfa" * 500)
    assert normalised == []
    assert [violation.field for violation in fields._violations] == ["reason"]
    fields.reason("reason", " \uff25XPIRED\ufe00 ")
    assert normalised == [7]
    assert len(fields._violations) == 2

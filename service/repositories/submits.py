"""The statements that enter orders: one, or many of a trader at once, each with the actor and the request of its call.

`Orders` sends them. They need no database, so that whoever combines calls can make the statement of several.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Sequence
from dataclasses import fields
from typing import NamedTuple

from service.domain.writes import NewOrder, content_digest
from service.repositories.messages import Statement
from service.repositories.statements import call, values_of

_SUBMIT = call(
    "submit_order",
    (
        "client_order_id", "request_digest", "symbol", "side", "order_type", "quantity", "price", "stop_price",
        "stop_loss", "take_profit", "time_in_force", "expires_at", "account", "labels::jsonb", "parent_order_id",
        "currency", "security_id", "security_id_source", "short_sale", "exempt_from_cancel_timer", "validate_only",
        "actor", "request_id",
    ),
)  # fmt: skip
_SUBMIT_MANY = call("submit_orders", ("orders::jsonb",))
_FIELDS = tuple(field.name for field in fields(NewOrder))

MOST = 10_000
"""How many orders a statement may enter."""


class Submit(NamedTuple):
    """An order to enter, by whom and in which request."""

    order: NewOrder
    actor: str
    request_id: str


def submit_one(submit: Submit, *, validate_only: bool = False) -> Statement:
    """Return the statement that enters an order, or checks it as that would. It returns one row."""
    order = submit.order
    values = values_of(order)
    values["labels"] = order.labels and json.dumps(order.labels)
    values["request_digest"] = content_digest(order)
    values["validate_only"] = validate_only
    values["actor"] = submit.actor
    values["request_id"] = submit.request_id
    return Statement(_SUBMIT, values)


def submit_many(items: Iterable[str]) -> Statement:
    """Return the statement that enters up to MOST orders, of each its `as_item()`. It returns a row of each, in order.

    What would fail one of them with an error, not with an outcome, fails all.
    """
    return Statement(_SUBMIT_MANY, {"orders": f"[{','.join(items)}]"})


def join(submits: Sequence[Submit]) -> Statement:
    """Return the statement that enters the orders of one or several calls."""
    return submit_one(submits[0]) if len(submits) == 1 else submit_many(map(as_item, submits))


def as_item(submit: Submit) -> str:
    """Return an order as JSON for `submit_many`: the arguments of submit_order() that are not null."""
    order = submit.order
    item = {name: value for name in _FIELDS if (value := getattr(order, name)) is not None}
    item["request_digest"] = rf"\x{content_digest(order).hex()}"
    item["actor"] = submit.actor
    item["request_id"] = submit.request_id
    return _as_json(item)


_as_json = json.JSONEncoder(default=str).encode

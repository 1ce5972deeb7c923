"""The digest of a request is that of its fields as sorted JSON, as it was when the stored digests were made."""

import hashlib
import json
from dataclasses import asdict
from datetime import UTC, datetime
from decimal import Decimal

from hypothesis import given
from hypothesis import strategies as st

from blotter_client.decimals import format_decimal
from service.domain.orders import OrderKey
from service.domain.writes import Cancel, NewOrder, content_digest

TEXT = st.text(max_size=20)
PRICES = st.none() | st.decimals("0.0001", 1000, places=4)
ORDERS = st.builds(
    NewOrder,
    client_order_id=TEXT,
    symbol=TEXT,
    side=st.sampled_from(["BUY", "SELL"]),
    order_type=st.just("LIMIT"),
    quantity=st.integers(0, 2**63 - 1),
    price=PRICES,
    stop_loss=PRICES,
    take_profit=PRICES,
    expires_at=st.none() | st.datetimes(timezones=st.just(UTC)),
    labels=st.none() | st.dictionaries(TEXT, TEXT, max_size=3),
    account=st.none() | TEXT,
    exempt_from_cancel_timer=st.booleans(),
)


def written(item: object) -> str:
    """The text of one field."""
    match item:
        case Decimal():
            return format_decimal(item)
        case datetime():
            return item.isoformat()
        case dict():
            return json.dumps(item, sort_keys=True)
    return str(item)


@given(ORDERS)
def test_the_digest_of_an_order_is_that_of_its_sorted_json(order: NewOrder) -> None:
    content = {name: written(item) for name, item in asdict(order).items() if item is not None and item is not False}
    text = json.dumps(content, sort_keys=True)
    assert content_digest(order) == hashlib.sha256(text.encode()).digest()


def test_how_the_order_is_named_is_not_content() -> None:
    digests = {
        content_digest(Cancel(OrderKey(None, name), request_key="key", reason='a "reason", \\ and é'))
        for name in ("one", "two")
    }
    text = json.dumps({"reason": 'a "reason", \\ and é', "request_key": "key"})
    assert digests == {hashlib.sha256(text.encode()).digest()}

"""Keep prices, amounts and symbols exactly.

Why: real prices have four decimals and more (sub-dollar stocks, mid-point fills), the consolidated audit trail has
10+8 digits and 22-character symbols; NUMERIC(10,2) rounds silently. `filled_notional` is the exact sum of quantity
times price; `average_fill_price` is computed from it by the database, so that no average is ever averaged again.

Revision: 003
Follows: 002
"""

from __future__ import annotations

from alembic import op

revision = "003"
down_revision = "002"
branch_labels = None
depends_on = None


def upgrade() -> None:
    """Widen prices and symbols, add the notional, derive the average."""
    op.run_sql("""
        ALTER TABLE orders
            ALTER COLUMN symbol TYPE varchar(22),
            ALTER COLUMN price TYPE numeric(18,8),
            ALTER COLUMN stop_loss TYPE numeric(18,8),
            ALTER COLUMN take_profit TYPE numeric(18,8),
            ADD COLUMN filled_notional numeric(28,8) NOT NULL DEFAULT 0,
            DROP COLUMN average_fill_price;
        ALTER TABLE orders
            ADD COLUMN average_fill_price numeric(18,8)
                GENERATED ALWAYS AS (filled_notional / nullif(filled_quantity, 0)) STORED,
            ADD CONSTRAINT ck_orders_symbol_not_empty CHECK (length(symbol) > 0),
            ADD CONSTRAINT ck_orders_market_has_no_price CHECK (order_type <> 'MARKET' OR price IS NULL),
            ADD CONSTRAINT ck_orders_prices_are_numbers
                CHECK (price <> 'NaN' AND stop_loss <> 'NaN' AND take_profit <> 'NaN'),
            ADD CONSTRAINT ck_orders_stop_loss_positive CHECK (stop_loss > 0),
            ADD CONSTRAINT ck_orders_take_profit_positive CHECK (take_profit > 0),
            ADD CONSTRAINT ck_orders_exits_on_their_side CHECK (
                CASE side
                    WHEN 'BUY' THEN coalesce(stop_loss < price, true)
                        AND coalesce(price < take_profit, true) AND coalesce(stop_loss < take_profit, true)
                    ELSE coalesce(stop_loss > price, true)
                        AND coalesce(price > take_profit, true) AND coalesce(stop_loss > take_profit, true)
                END),
            ADD CONSTRAINT ck_orders_notional_with_fills CHECK ((filled_notional > 0) = (filled_quantity > 0)),
            ADD CONSTRAINT ck_orders_status_fits_fills CHECK (
                CASE status
                    WHEN 'PENDING' THEN filled_quantity = 0
                    WHEN 'PARTIAL' THEN filled_quantity > 0 AND filled_quantity < quantity
                    WHEN 'FILLED' THEN filled_quantity = quantity
                    ELSE filled_quantity < quantity
                END);
        ALTER TABLE fills
            ALTER COLUMN price_at_fill TYPE numeric(18,8),
            ALTER COLUMN commission TYPE numeric(18,8),
            ADD CONSTRAINT ck_fills_amounts_are_numbers CHECK ('NaN' NOT IN (price_at_fill, commission));
    """)


def downgrade() -> None:
    """Return to two decimals and ten characters; fails where a symbol is longer."""
    op.run_sql("""
        ALTER TABLE fills
            DROP CONSTRAINT ck_fills_amounts_are_numbers,
            ALTER COLUMN price_at_fill TYPE numeric(10,2),
            ALTER COLUMN commission TYPE numeric(10,2);
        ALTER TABLE orders
            DROP CONSTRAINT ck_orders_status_fits_fills,
            DROP CONSTRAINT ck_orders_notional_with_fills,
            DROP CONSTRAINT ck_orders_exits_on_their_side,
            DROP CONSTRAINT ck_orders_take_profit_positive,
            DROP CONSTRAINT ck_orders_stop_loss_positive,
            DROP CONSTRAINT ck_orders_prices_are_numbers,
            DROP CONSTRAINT ck_orders_market_has_no_price,
            DROP CONSTRAINT ck_orders_symbol_not_empty,
            DROP COLUMN average_fill_price,
            DROP COLUMN filled_notional;
        ALTER TABLE orders
            ADD COLUMN average_fill_price numeric(10,2),
            ALTER COLUMN take_profit TYPE numeric(10,2),
            ALTER COLUMN stop_loss TYPE numeric(10,2),
            ALTER COLUMN price TYPE numeric(10,2),
            ALTER COLUMN symbol TYPE varchar(10);
    """)

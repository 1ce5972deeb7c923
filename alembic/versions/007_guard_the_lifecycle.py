"""Guard the lifecycle of orders in the database.

Why: the rules of the lifecycle must hold whoever writes, the service's own functions (revision 009) included. The
triggers:

- `orders_stamp` sets the times of an order, so that nobody can back-date one.
- `orders_guard` is the transition table. PENDING leads to PARTIAL, FILLED, REJECTED, CANCELLED; PARTIAL to FILLED,
  REJECTED, CANCELLED; a late fill completes a REJECTED or CANCELLED order to FILLED or leaves its status alone. The
  filled quantity moves only with a fill of exactly that quantity and price, the terms never, and each change has a
  new event.
- `execution_logs_take_state` copies the state of the order (and of the fill) into the log, so that no log can say
  otherwise, and checks that the action fits the state: an order begins PENDING and unfilled, and from one log of an
  order to the next the filled quantity grows by the fill between them and by nothing else. It also checks that the
  counter has been advanced: one that lags would give a number out again, and every later write of the trader fail.
- `fills_guard` lets no fill refer to a log that is already written, where it would change no order.
- `trader_sequences_guard` lets the counter grow and do nothing else.

Revision: 007
Follows: 006
"""

from __future__ import annotations

from alembic import op

revision = "007"
down_revision = "006"
branch_labels = None
depends_on = None


def upgrade() -> None:
    """Create the triggers."""
    op.run_sql("""
        CREATE FUNCTION stamp_order() RETURNS trigger LANGUAGE plpgsql AS $$
        BEGIN
            NEW.created_at := clock_timestamp();
            NEW.updated_at := NEW.created_at;
            RETURN NEW;
        END $$;
        CREATE TRIGGER orders_stamp BEFORE INSERT ON orders FOR EACH ROW EXECUTE FUNCTION stamp_order();

        CREATE FUNCTION guard_order() RETURNS trigger LANGUAGE plpgsql AS $$
        DECLARE
            v_broken text;
        BEGIN
            NEW.updated_at := greatest(clock_timestamp(), OLD.updated_at);
            IF NEW.last_sequence <= OLD.last_sequence THEN
                v_broken := 'orders_change_with_an_event';
            ELSIF (NEW.trader_id, NEW.id, NEW.client_order_id, NEW.request_digest, NEW.symbol, NEW.side, NEW.order_type,
                   NEW.quantity, NEW.price, NEW.stop_loss, NEW.take_profit, NEW.expires_at, NEW.created_at)
                  IS DISTINCT FROM
                  (OLD.trader_id, OLD.id, OLD.client_order_id, OLD.request_digest, OLD.symbol, OLD.side, OLD.order_type,
                   OLD.quantity, OLD.price, OLD.stop_loss, OLD.take_profit, OLD.expires_at, OLD.created_at) THEN
                v_broken := 'orders_terms_are_final';
            ELSIF NOT (CASE
                    WHEN NEW.filled_quantity = NEW.quantity THEN NEW.status = 'FILLED'
                    WHEN OLD.status IN ('REJECTED', 'CANCELLED') THEN NEW.status = OLD.status
                    WHEN NEW.status IN ('REJECTED', 'CANCELLED') THEN NEW.filled_quantity = OLD.filled_quantity
                    ELSE NEW.status = CASE WHEN NEW.filled_quantity > 0
                        THEN 'PARTIAL'::order_status_enum ELSE 'PENDING' END
                END) THEN
                v_broken := 'orders_follow_their_lifecycle';
            ELSIF (NEW.filled_quantity, NEW.filled_notional)
                  IS DISTINCT FROM (OLD.filled_quantity, OLD.filled_notional) THEN
                -- A fill, its order and its log are recorded at one time.
                SELECT greatest(created_at, OLD.updated_at) INTO NEW.updated_at FROM fills
                WHERE trader_id = NEW.trader_id AND order_id = NEW.id AND sequence = NEW.last_sequence
                  AND quantity_filled = NEW.filled_quantity - OLD.filled_quantity
                  AND quantity_filled * price_at_fill = NEW.filled_notional - OLD.filled_notional;
                IF NOT FOUND THEN
                    v_broken := 'orders_are_filled_by_fills';
                END IF;
            END IF;
            IF v_broken IS NOT NULL THEN
                RAISE EXCEPTION 'Refused by %.', v_broken
                    USING ERRCODE = 'check_violation', CONSTRAINT = v_broken, TABLE = 'orders';
            END IF;
            RETURN NEW;
        END $$;
        CREATE TRIGGER orders_guard BEFORE UPDATE ON orders FOR EACH ROW EXECUTE FUNCTION guard_order();

        CREATE FUNCTION take_order_state() RETURNS trigger LANGUAGE plpgsql AS $$
        DECLARE
            v_order orders;
            v_fill fills;
            v_broken text;
            v_first boolean;
            v_status order_status_enum;
            v_filled_quantity integer;
            v_filled_notional numeric;
        BEGIN
            SELECT orders.* INTO v_order FROM orders
            WHERE trader_id = NEW.trader_id AND id = NEW.order_id AND last_sequence = NEW.sequence;
            IF NOT FOUND THEN
                RAISE EXCEPTION 'Refused by execution_logs_state_is_the_orders.' USING
                    ERRCODE = 'check_violation', TABLE = 'execution_logs',
                    CONSTRAINT = 'execution_logs_state_is_the_orders';
            END IF;
            SELECT status, filled_quantity, filled_notional INTO v_status, v_filled_quantity, v_filled_notional
            FROM execution_logs
            WHERE trader_id = NEW.trader_id AND order_id = NEW.order_id
            ORDER BY trader_id, order_id, sequence DESC LIMIT 1;
            v_first := NOT FOUND;

            NEW.status := v_order.status;
            NEW.created_at := v_order.updated_at;
            NEW.timestamp := coalesce(NEW.timestamp, v_order.updated_at);
            NEW.client_order_id := v_order.client_order_id;
            NEW.symbol := v_order.symbol;
            NEW.side := v_order.side;
            NEW.order_type := v_order.order_type;
            NEW.quantity := v_order.quantity;
            NEW.price := v_order.price;
            NEW.stop_loss := v_order.stop_loss;
            NEW.take_profit := v_order.take_profit;
            NEW.expires_at := v_order.expires_at;
            NEW.order_created_at := v_order.created_at;
            NEW.filled_quantity := v_order.filled_quantity;
            NEW.filled_notional := v_order.filled_notional;

            SELECT fills.* INTO v_fill FROM fills
            WHERE trader_id = NEW.trader_id AND order_id = NEW.order_id AND sequence = NEW.sequence;
            IF FOUND THEN
                NEW.timestamp := v_fill.timestamp;
                NEW.venue := v_fill.venue;
                NEW.fill_id := v_fill.id;
                NEW.execution_id := v_fill.execution_id;
                NEW.fill_quantity := v_fill.quantity_filled;
                NEW.fill_price := v_fill.price_at_fill;
                NEW.fill_commission := v_fill.commission;
            END IF;

            IF (NEW.action = 'SUBMITTED') <> v_first
               OR (NEW.action = 'SUBMITTED' AND NEW.status <> 'PENDING')
               -- A status changes only by the action that is named for it, PARTIAL and FILLED by a fill.
               OR (NEW.status <> v_status AND (NEW.refused OR NEW.action::text <> CASE
                    WHEN NEW.status IN ('PARTIAL', 'FILLED') THEN 'FILLED' ELSE NEW.status::text END))
               OR (NEW.action = 'FILLED') <> (v_fill.id IS NOT NULL)
               OR (NEW.action = 'CANCELLED' AND NEW.status <> 'CANCELLED')
               OR (NEW.action = 'REJECTED' AND NOT NEW.refused AND (NEW.status <> 'REJECTED' OR v_status = 'REJECTED'))
               OR (NEW.refused AND NEW.action <> 'REJECTED')
               OR (NEW.fill_quantity IS NOT NULL AND NEW.action <> 'FILLED' AND NOT NEW.refused) THEN
                v_broken := 'execution_logs_action_fits_the_state';
            ELSIF NEW.filled_quantity <> coalesce(v_filled_quantity, 0) + coalesce(v_fill.quantity_filled, 0)
               OR NEW.filled_notional <> coalesce(v_filled_notional, 0)
                                         + coalesce(v_fill.quantity_filled * v_fill.price_at_fill, 0) THEN
                v_broken := 'execution_logs_fills_change_the_order';
            ELSIF NOT EXISTS (
                    SELECT FROM trader_sequences
                    WHERE trader_id = NEW.trader_id AND last_sequence >= NEW.sequence) THEN
                v_broken := 'execution_logs_are_counted';
            END IF;
            IF v_broken IS NOT NULL THEN
                RAISE EXCEPTION 'Refused by %.', v_broken
                    USING ERRCODE = 'check_violation', CONSTRAINT = v_broken, TABLE = 'execution_logs';
            END IF;
            RETURN NEW;
        END $$;
        CREATE TRIGGER execution_logs_take_state BEFORE INSERT ON execution_logs
            FOR EACH ROW EXECUTE FUNCTION take_order_state();

        CREATE FUNCTION guard_fill() RETURNS trigger LANGUAGE plpgsql AS $$
        BEGIN
            -- Another transaction might be writing the log of that number: whoever holds the counter is alone.
            PERFORM FROM trader_sequences WHERE trader_id = NEW.trader_id FOR NO KEY UPDATE;
            IF EXISTS (SELECT FROM execution_logs WHERE trader_id = NEW.trader_id AND sequence = NEW.sequence) THEN
                RAISE EXCEPTION 'Refused by fills_precede_their_log.' USING
                    ERRCODE = 'check_violation', CONSTRAINT = 'fills_precede_their_log', TABLE = 'fills';
            END IF;
            RETURN NEW;
        END $$;
        CREATE TRIGGER fills_guard BEFORE INSERT ON fills FOR EACH ROW EXECUTE FUNCTION guard_fill();

        CREATE FUNCTION guard_sequence() RETURNS trigger LANGUAGE plpgsql AS $$
        BEGIN
            IF TG_OP = 'UPDATE' AND NEW.trader_id = OLD.trader_id
               AND NEW.last_sequence > coalesce(OLD.last_sequence, 0) THEN
                RETURN NEW;
            END IF;
            RAISE EXCEPTION 'Refused by trader_sequences_only_grow.' USING
                ERRCODE = 'check_violation', CONSTRAINT = 'trader_sequences_only_grow', TABLE = 'trader_sequences';
        END $$;
        CREATE TRIGGER trader_sequences_guard BEFORE UPDATE OR DELETE ON trader_sequences
            FOR EACH ROW EXECUTE FUNCTION guard_sequence();
        CREATE TRIGGER trader_sequences_guard_truncate BEFORE TRUNCATE ON trader_sequences
            FOR EACH STATEMENT EXECUTE FUNCTION guard_sequence();
    """)


def downgrade() -> None:
    """Drop the triggers."""
    op.run_sql("""
        DROP TRIGGER trader_sequences_guard_truncate ON trader_sequences;
        DROP TRIGGER trader_sequences_guard ON trader_sequences;
        DROP FUNCTION guard_sequence();
        DROP TRIGGER fills_guard ON fills;
        DROP FUNCTION guard_fill();
        DROP TRIGGER execution_logs_take_state ON execution_logs;
        DROP FUNCTION take_order_state();
        DROP TRIGGER orders_guard ON orders;
        DROP FUNCTION guard_order();
        DROP TRIGGER orders_stamp ON orders;
        DROP FUNCTION stamp_order();
    """)

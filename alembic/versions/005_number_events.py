"""Number each trader's events, and keep the order's state with each.

Why:

- A time stamp cannot show that a record is missing; a dense number can. `trader_sequences` holds the last number; a
  writer locks the row first, which serialises that trader alone and makes the checks for repeated keys free of races.
  Each log refers to its predecessor, so a gap cannot be committed.
- `orders.last_sequence` refers to the log of the order's last event, checked at commit, and must grow with every
  update (revision 007): a change of an order without its log cannot be committed, whoever writes it. A fill refers to
  its log in the same way.
- A log holds the order's state after the event, complete, so that the trail alone re-creates an order as of any
  moment.

Revision: 005
Follows: 004
"""

from __future__ import annotations

from alembic import op

revision = "005"
down_revision = "004"
branch_labels = None
depends_on = None


def upgrade() -> None:
    """Add the counter, the numbers, the state and the keys between them."""
    op.run_sql("""
        CREATE TABLE trader_sequences (
            trader_id uuid CONSTRAINT trader_sequences_pkey PRIMARY KEY,
            last_sequence bigint,
            CONSTRAINT fk_trader_sequences_trader_id FOREIGN KEY (trader_id) REFERENCES traders (id)
        ) WITH (fillfactor = 50);
        COMMENT ON TABLE trader_sequences IS 'Number of each trader''s last event; locked first by every writer';
        ALTER TABLE trader_sequences ENABLE ROW LEVEL SECURITY;
        ALTER TABLE trader_sequences FORCE ROW LEVEL SECURITY;

        ALTER TABLE execution_logs
            ALTER COLUMN timestamp DROP DEFAULT,
            ALTER COLUMN created_at DROP DEFAULT,
            ALTER COLUMN status SET NOT NULL,
            ALTER COLUMN retry_attempt SET DEFAULT 0,
            ALTER COLUMN retry_attempt SET NOT NULL,
            ADD COLUMN sequence bigint NOT NULL,
            ADD COLUMN previous_sequence bigint GENERATED ALWAYS AS (nullif(sequence - 1, 0)) STORED,
            ADD COLUMN refused boolean NOT NULL DEFAULT false,
            ADD COLUMN actor varchar(100) NOT NULL,
            ADD COLUMN request_id varchar(64) NOT NULL,
            ADD COLUMN client_order_id varchar(64) NOT NULL,
            ADD COLUMN symbol varchar(22) NOT NULL,
            ADD COLUMN side order_side_enum NOT NULL,
            ADD COLUMN order_type order_type_enum NOT NULL,
            ADD COLUMN quantity integer NOT NULL,
            ADD COLUMN price numeric(18,8),
            ADD COLUMN stop_loss numeric(18,8),
            ADD COLUMN take_profit numeric(18,8),
            ADD COLUMN expires_at timestamptz,
            ADD COLUMN order_created_at timestamptz NOT NULL,
            ADD COLUMN filled_quantity integer NOT NULL,
            ADD COLUMN filled_notional numeric(28,8) NOT NULL,
            ADD COLUMN venue varchar(50),
            ADD COLUMN fill_id uuid,
            ADD COLUMN execution_id varchar(64),
            ADD COLUMN fill_quantity integer,
            ADD COLUMN fill_price numeric(18,8),
            ADD COLUMN fill_commission numeric(18,8),
            ADD CONSTRAINT uq_execution_logs_sequence UNIQUE (trader_id, sequence),
            ADD CONSTRAINT uq_execution_logs_order_sequence UNIQUE (trader_id, order_id, sequence),
            ADD CONSTRAINT ck_execution_logs_sequence_positive CHECK (sequence > 0),
            ADD CONSTRAINT ck_execution_logs_reason_readable CHECK (length(reason) <= 600),
            ADD CONSTRAINT ck_execution_logs_timestamp_is_a_date
                CHECK (timestamp >= '0001-01-01 00:00+00' AND timestamp < '10000-01-01 00:00+00'),
            ADD CONSTRAINT ck_execution_logs_amounts_are_numbers CHECK ('NaN' NOT IN (fill_price, fill_commission)),
            ADD CONSTRAINT ck_execution_logs_retry_attempt_nonnegative CHECK (retry_attempt >= 0),
            ADD CONSTRAINT ck_execution_logs_refused_has_code CHECK (NOT refused OR error_code IS NOT NULL),
            ADD CONSTRAINT fk_execution_logs_follow_without_gap
                FOREIGN KEY (trader_id, previous_sequence) REFERENCES execution_logs (trader_id, sequence);
        COMMENT ON COLUMN execution_logs.sequence IS 'Number among the trader''s events: dense, in commit order';
        COMMENT ON COLUMN execution_logs.refused IS 'The report was refused; the order is unchanged';
        COMMENT ON COLUMN execution_logs.actor IS 'Who acted';

        ALTER TABLE trader_sequences
            ADD CONSTRAINT fk_trader_sequences_last_log
                FOREIGN KEY (trader_id, last_sequence) REFERENCES execution_logs (trader_id, sequence)
                DEFERRABLE INITIALLY DEFERRED;

        ALTER TABLE orders
            ALTER COLUMN created_at DROP DEFAULT,
            ALTER COLUMN updated_at DROP DEFAULT,
            ADD COLUMN last_sequence bigint NOT NULL,
            ADD CONSTRAINT ck_orders_expires_after_entry
                CHECK (expires_at > created_at AND expires_at < '10000-01-01 00:00+00'),
            ADD CONSTRAINT fk_orders_last_log
                FOREIGN KEY (trader_id, id, last_sequence) REFERENCES execution_logs (trader_id, order_id, sequence)
                DEFERRABLE INITIALLY DEFERRED;
        COMMENT ON COLUMN orders.last_sequence IS 'Number of the order''s last event';

        ALTER TABLE fills
            ALTER COLUMN timestamp DROP DEFAULT,
            ALTER COLUMN created_at SET DEFAULT clock_timestamp(),
            ADD COLUMN sequence bigint NOT NULL,
            ADD CONSTRAINT ck_fills_timestamp_is_a_date
                CHECK (timestamp >= '0001-01-01 00:00+00' AND timestamp < '10000-01-01 00:00+00'),
            ADD CONSTRAINT uq_fills_sequence UNIQUE (trader_id, order_id, sequence),
            ADD CONSTRAINT fk_fills_log
                FOREIGN KEY (trader_id, order_id, sequence) REFERENCES execution_logs (trader_id, order_id, sequence)
                DEFERRABLE INITIALLY DEFERRED;
        COMMENT ON COLUMN fills.sequence IS 'Number of the event that recorded the fill';
    """)


def downgrade() -> None:
    """Drop counter, numbers and state."""
    op.run_sql("""
        ALTER TABLE fills
            DROP CONSTRAINT fk_fills_log,
            DROP CONSTRAINT ck_fills_timestamp_is_a_date,
            DROP COLUMN sequence,
            ALTER COLUMN created_at SET DEFAULT now(),
            ALTER COLUMN timestamp SET DEFAULT now();
        ALTER TABLE orders
            DROP CONSTRAINT ck_orders_expires_after_entry,
            DROP CONSTRAINT fk_orders_last_log,
            DROP COLUMN last_sequence,
            ALTER COLUMN updated_at SET DEFAULT now(),
            ALTER COLUMN created_at SET DEFAULT now();
        DROP TABLE trader_sequences;
        ALTER TABLE execution_logs
            DROP CONSTRAINT fk_execution_logs_follow_without_gap,
            DROP CONSTRAINT ck_execution_logs_refused_has_code,
            DROP CONSTRAINT ck_execution_logs_timestamp_is_a_date,
            DROP CONSTRAINT ck_execution_logs_reason_readable,
            DROP CONSTRAINT ck_execution_logs_retry_attempt_nonnegative,
            DROP COLUMN fill_commission,
            DROP COLUMN fill_price,
            DROP COLUMN fill_quantity,
            DROP COLUMN execution_id,
            DROP COLUMN fill_id,
            DROP COLUMN venue,
            DROP COLUMN filled_notional,
            DROP COLUMN filled_quantity,
            DROP COLUMN order_created_at,
            DROP COLUMN expires_at,
            DROP COLUMN take_profit,
            DROP COLUMN stop_loss,
            DROP COLUMN price,
            DROP COLUMN quantity,
            DROP COLUMN order_type,
            DROP COLUMN side,
            DROP COLUMN symbol,
            DROP COLUMN client_order_id,
            DROP COLUMN request_id,
            DROP COLUMN actor,
            DROP COLUMN refused,
            DROP COLUMN previous_sequence,
            DROP COLUMN sequence,
            ALTER COLUMN retry_attempt DROP NOT NULL,
            ALTER COLUMN retry_attempt DROP DEFAULT,
            ALTER COLUMN status DROP NOT NULL,
            ALTER COLUMN created_at SET DEFAULT now(),
            ALTER COLUMN timestamp SET DEFAULT now();
    """)

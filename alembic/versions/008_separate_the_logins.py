"""Separate the logins: grants by column, policies by command, one way to say whose rows.

Why: a statement that is injected into a trader's connection must not become a gateway's or compliance's, so each kind
of caller has a login of its own, member of nothing. `act_as` is the only thing that sets `app.trader_id`, for one
transaction. A trader's login can enter and cancel its orders and log just that; it cannot fill an order or log a
fill, even by raw SQL. The execution login sees everything and writes only the rows of the trader that the report
names. Compliance reads. The sequencer has nothing to do yet.

The five policies of the seed keep their names; the isolation policies become SELECT policies of the trader's login.

Revision: 008
Follows: 007
"""

from __future__ import annotations

from alembic import op

revision = "008"
down_revision = "007"
branch_labels = None
depends_on = None


def upgrade() -> None:
    """Create act_as, policies and grants."""
    op.run_sql("""
        CREATE FUNCTION act_as(p_trader_id uuid) RETURNS boolean LANGUAGE plpgsql AS $$
        BEGIN
            PERFORM set_config('app.trader_id', coalesce(p_trader_id::text, ''), true);
            RETURN p_trader_id IS NULL OR EXISTS (SELECT FROM traders WHERE id = p_trader_id);
        END $$;
        COMMENT ON FUNCTION act_as IS 'Say whose rows this transaction is about; false for an unknown trader';

        REVOKE ALL ON SCHEMA public FROM PUBLIC;
        GRANT USAGE ON SCHEMA public TO blotter_trader, blotter_execution, blotter_compliance, blotter_sequencer;
        DO $$ BEGIN
            EXECUTE format('REVOKE CREATE, TEMPORARY ON DATABASE %I FROM PUBLIC', current_database());
        END $$;
        REVOKE ALL ON FUNCTION act_as FROM PUBLIC;
        GRANT EXECUTE ON FUNCTION act_as TO blotter_trader, blotter_execution, blotter_compliance;
        GRANT SELECT ON alembic_version TO blotter_trader, blotter_execution, blotter_compliance, blotter_sequencer;

        -- traders: registered by the owner, looked up by everybody under his own name.
        ALTER TABLE traders ENABLE ROW LEVEL SECURITY;
        ALTER TABLE traders FORCE ROW LEVEL SECURITY;
        CREATE POLICY traders_owner_registers ON traders TO blotter_owner USING (true);
        CREATE POLICY traders_trader_isolation ON traders FOR SELECT TO blotter_trader
            USING (id = nullif(current_setting('app.trader_id', true), '')::uuid);
        CREATE POLICY traders_execution_reads_all ON traders FOR SELECT TO blotter_execution USING (true);
        CREATE POLICY traders_compliance_reads_all ON traders FOR SELECT TO blotter_compliance USING (true);
        GRANT SELECT ON traders TO blotter_trader, blotter_execution, blotter_compliance;

        -- orders
        DROP POLICY orders_trader_isolation ON orders;
        CREATE POLICY orders_trader_isolation ON orders FOR SELECT TO blotter_trader
            USING (trader_id = nullif(current_setting('app.trader_id', true), '')::uuid);
        CREATE POLICY orders_trader_enters_own ON orders FOR INSERT TO blotter_trader
            WITH CHECK (trader_id = nullif(current_setting('app.trader_id', true), '')::uuid
                AND status = 'PENDING' AND filled_quantity = 0);
        CREATE POLICY orders_trader_cancels_own ON orders FOR UPDATE TO blotter_trader
            USING (trader_id = nullif(current_setting('app.trader_id', true), '')::uuid)
            WITH CHECK (trader_id = nullif(current_setting('app.trader_id', true), '')::uuid AND status = 'CANCELLED');
        CREATE POLICY orders_execution_reads_all ON orders FOR SELECT TO blotter_execution USING (true);
        CREATE POLICY orders_execution_updates_named ON orders FOR UPDATE TO blotter_execution
            USING (trader_id = nullif(current_setting('app.trader_id', true), '')::uuid);
        CREATE POLICY orders_compliance_reads_all ON orders FOR SELECT TO blotter_compliance USING (true);
        GRANT SELECT ON orders TO blotter_trader, blotter_execution, blotter_compliance;
        GRANT INSERT (trader_id, client_order_id, request_digest, symbol, side, order_type, quantity, price, stop_loss,
                      take_profit, expires_at, last_sequence) ON orders TO blotter_trader;
        GRANT UPDATE (status, last_sequence) ON orders TO blotter_trader;
        GRANT UPDATE (status, filled_quantity, filled_notional, last_sequence) ON orders TO blotter_execution;

        -- fills
        DROP POLICY fills_trader_isolation ON fills;
        CREATE POLICY fills_trader_isolation ON fills FOR SELECT TO blotter_trader
            USING (trader_id = nullif(current_setting('app.trader_id', true), '')::uuid);
        CREATE POLICY fills_execution_reads_all ON fills FOR SELECT TO blotter_execution USING (true);
        CREATE POLICY fills_execution_records_named ON fills FOR INSERT TO blotter_execution
            WITH CHECK (trader_id = nullif(current_setting('app.trader_id', true), '')::uuid);
        CREATE POLICY fills_compliance_reads_all ON fills FOR SELECT TO blotter_compliance USING (true);
        GRANT SELECT ON fills TO blotter_trader, blotter_execution, blotter_compliance;
        GRANT INSERT (trader_id, order_id, sequence, execution_id, venue, timestamp, quantity_filled, price_at_fill,
                      commission) ON fills TO blotter_execution;

        -- execution_logs
        DROP POLICY execution_logs_trader_isolation ON execution_logs;
        CREATE POLICY execution_logs_trader_isolation ON execution_logs FOR SELECT TO blotter_trader
            USING (trader_id = nullif(current_setting('app.trader_id', true), '')::uuid);
        CREATE POLICY execution_logs_trader_logs_own ON execution_logs FOR INSERT TO blotter_trader
            WITH CHECK (trader_id = nullif(current_setting('app.trader_id', true), '')::uuid
                AND action IN ('SUBMITTED', 'CANCELLED'));
        CREATE POLICY execution_logs_execution_reads_all ON execution_logs FOR SELECT TO blotter_execution USING (true);
        CREATE POLICY execution_logs_execution_logs_named ON execution_logs FOR INSERT TO blotter_execution
            WITH CHECK (trader_id = nullif(current_setting('app.trader_id', true), '')::uuid AND action <> 'SUBMITTED');
        CREATE POLICY execution_logs_compliance_reads_all ON execution_logs FOR SELECT TO blotter_compliance
            USING (true);
        GRANT SELECT ON execution_logs TO blotter_trader, blotter_execution, blotter_compliance;
        GRANT INSERT (trader_id, order_id, sequence, action, reason, actor, request_id) ON execution_logs
            TO blotter_trader;
        GRANT INSERT (trader_id, order_id, sequence, action, reason, actor, request_id, timestamp, retry_attempt,
                      error_code, report_id, report_digest, refused, venue, execution_id, fill_quantity, fill_price,
                      fill_commission)
            ON execution_logs TO blotter_execution;

        -- trader_sequences
        CREATE POLICY trader_sequences_trader_isolation ON trader_sequences TO blotter_trader
            USING (trader_id = nullif(current_setting('app.trader_id', true), '')::uuid);
        CREATE POLICY trader_sequences_execution_reads_all ON trader_sequences FOR SELECT TO blotter_execution
            USING (true);
        CREATE POLICY trader_sequences_execution_starts_named ON trader_sequences FOR INSERT TO blotter_execution
            WITH CHECK (trader_id = nullif(current_setting('app.trader_id', true), '')::uuid);
        CREATE POLICY trader_sequences_execution_advances_named ON trader_sequences FOR UPDATE TO blotter_execution
            USING (trader_id = nullif(current_setting('app.trader_id', true), '')::uuid);
        CREATE POLICY trader_sequences_compliance_reads_all ON trader_sequences FOR SELECT TO blotter_compliance
            USING (true);
        GRANT SELECT ON trader_sequences TO blotter_trader, blotter_execution, blotter_compliance;
        GRANT INSERT (trader_id), UPDATE (last_sequence) ON trader_sequences TO blotter_trader, blotter_execution;
    """)


def downgrade() -> None:
    """Return to the seed's policies and to no grants."""
    op.run_sql("""
        REVOKE ALL ON trader_sequences, execution_logs, fills, orders, traders, alembic_version
            FROM blotter_trader, blotter_execution, blotter_compliance, blotter_sequencer;
        REVOKE ALL ON SCHEMA public FROM blotter_trader, blotter_execution, blotter_compliance, blotter_sequencer;
        GRANT USAGE ON SCHEMA public TO PUBLIC;
        DO $$ BEGIN
            EXECUTE format('GRANT TEMPORARY ON DATABASE %I TO PUBLIC', current_database());
        END $$;

        DROP POLICY trader_sequences_compliance_reads_all ON trader_sequences;
        DROP POLICY trader_sequences_execution_advances_named ON trader_sequences;
        DROP POLICY trader_sequences_execution_starts_named ON trader_sequences;
        DROP POLICY trader_sequences_execution_reads_all ON trader_sequences;
        DROP POLICY trader_sequences_trader_isolation ON trader_sequences;

        DROP POLICY execution_logs_compliance_reads_all ON execution_logs;
        DROP POLICY execution_logs_execution_logs_named ON execution_logs;
        DROP POLICY execution_logs_execution_reads_all ON execution_logs;
        DROP POLICY execution_logs_trader_logs_own ON execution_logs;
        DROP POLICY execution_logs_trader_isolation ON execution_logs;
        CREATE POLICY execution_logs_trader_isolation ON execution_logs
            USING (trader_id = nullif(current_setting('app.trader_id', true), '')::uuid);

        DROP POLICY fills_compliance_reads_all ON fills;
        DROP POLICY fills_execution_records_named ON fills;
        DROP POLICY fills_execution_reads_all ON fills;
        DROP POLICY fills_trader_isolation ON fills;
        CREATE POLICY fills_trader_isolation ON fills
            USING (trader_id = nullif(current_setting('app.trader_id', true), '')::uuid);

        DROP POLICY orders_compliance_reads_all ON orders;
        DROP POLICY orders_execution_updates_named ON orders;
        DROP POLICY orders_execution_reads_all ON orders;
        DROP POLICY orders_trader_cancels_own ON orders;
        DROP POLICY orders_trader_enters_own ON orders;
        DROP POLICY orders_trader_isolation ON orders;
        CREATE POLICY orders_trader_isolation ON orders
            USING (trader_id = nullif(current_setting('app.trader_id', true), '')::uuid);

        DROP POLICY traders_compliance_reads_all ON traders;
        DROP POLICY traders_execution_reads_all ON traders;
        DROP POLICY traders_trader_isolation ON traders;
        DROP POLICY traders_owner_registers ON traders;
        ALTER TABLE traders NO FORCE ROW LEVEL SECURITY;
        ALTER TABLE traders DISABLE ROW LEVEL SECURITY;

        DROP FUNCTION act_as(uuid);
    """)

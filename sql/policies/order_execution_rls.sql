-- The row level security policies and the grants in force, table by table.
--
-- This file documents the policies, and restores them where somebody dropped them. They are created by the revisions in
-- alembic/versions (001, 006, 008, 009, 011, 013, 014, 016, 017, 020 and 021); a test compares both.
--
--
-- How to read it
--
--   * A statement needs a grant (else: error 42501) and a policy that admits the row (else: the row is not visible, and
--     an INSERT of it is error 42501). Policies of one command are ORed; RESTRICTIVE ones are ANDed with these.
--   * A policy names its login. Each kind of caller has one of its own, which owns nothing and is a member of no role:
--     blotter_trader, blotter_execution, blotter_compliance, blotter_desk, blotter_sequencer (sql/roles.sql).
--   * The logins write no orders, fills or logs: they call functions that run with the rights of blotter_writer
--     (SECURITY DEFINER), as which nobody logs in. Policies bind blotter_writer to the named trader as well. A grant on
--     a function decides which login may call it.
--   * "The named trader" is the one that act_as() named for the running transaction. If none is named, with '', and
--     after the end of the transaction, it is NULL, which equals no trader: no row is visible.
--   * FORCE binds the owner too. blotter_owner has no policy on the tables of orders: it sees none of their rows.
--     Superusers are subject to no policy, but to the triggers (revisions 006, 007 and 020).
--
--
-- How to test it by hand
--
-- With the service running on its embedded database, connect as a login through the socket folder that
-- .blotter/postgres/postmaster.pid names in its fifth line:
--
--     psql -h "$(sed -n 5p .blotter/postgres/postmaster.pid)" -U blotter_trader blotter
--
-- On a database with two traders, where only the first has orders (put in the ids of yours: `blotter traders list`), and
-- without an identity key in use (`blotter identity-key list`; with one, act_as refuses what the service has not signed):
--
--   As blotter_trader:
--     SELECT count(*) > 0 FROM orders;                                            -- f: nobody is named
--     BEGIN;
--     SELECT act_as('a11ce000-0000-4000-8000-000000000001');                      -- t: a known trader
--     SELECT count(*) > 0 FROM orders;                                            -- t: the trader's own
--     SELECT act_as('b0b00000-0000-4000-8000-000000000002');                      -- t
--     SELECT count(*) > 0 FROM orders;                                            -- f: the other one has none
--     COMMIT;
--     SELECT count(*) > 0 FROM orders;                                            -- f: the name ended with COMMIT
--     INSERT INTO trader_sequences (trader_id) VALUES (gen_random_uuid());        -- ERROR 42501: functions write
--     DELETE FROM orders;                                                         -- ERROR 42501: no grant
--     UPDATE execution_logs SET reason = 'never mind';                            -- ERROR 42501: no grant
--     SELECT lock_sequence();                                                     -- ERROR 42501: no login calls it
--     SET ROLE blotter_writer;                                                    -- ERROR 42501: a member of nothing
--   As blotter_compliance:
--     SELECT count(*) > 0 FROM execution_logs;                                    -- t: reads everything
--     INSERT INTO trader_sequences (trader_id) VALUES (gen_random_uuid());        -- ERROR 42501: writes no orders
--   As blotter_owner:
--     SELECT count(*) > 0 FROM orders;                                            -- f: forced on the owner as well
--     UPDATE execution_logs SET reason = 'never mind';                            -- UPDATE 0
--     TRUNCATE execution_logs CASCADE;                                            -- ERROR 42501: by its trigger
--
-- Every table, command and identity for every login: tests/isolation/matrix.py.
--
--
-- How to restore the policies, and how to roll them back
--
-- Apply, as blotter_owner, to a database that has none of them (a policy that exists is an error, and nothing happens):
--
--     psql -U blotter_owner -v ON_ERROR_STOP=1 -f sql/policies/order_execution_rls.sql blotter
--
-- Roll back to the five policies of revision 001, without logins and grants, by a downgrade and not by hand. This also
-- removes the service's functions and everything after revision 007, such as the ledger and its checkpoints; orders,
-- fills and logs stay:
--
--     blotter migrate downgrade 007


BEGIN;

-- ---------------------------------------------------------------------------------------------------------------------
-- The database, the schema, the functions. Only the owner creates objects, temporary tables included: with a view or
-- function of its own a login could bypass the policies.

DO $$ BEGIN
    EXECUTE format('REVOKE CREATE, TEMPORARY, CONNECT ON DATABASE %I FROM PUBLIC', current_database());
    EXECUTE format('GRANT CONNECT ON DATABASE %I TO blotter_owner, blotter_trader, blotter_execution,'
        ' blotter_compliance, blotter_desk, blotter_sequencer', current_database());
END $$;
REVOKE ALL ON SCHEMA public FROM PUBLIC;
GRANT USAGE ON SCHEMA public
    TO blotter_trader, blotter_execution, blotter_compliance, blotter_desk, blotter_sequencer, blotter_writer;
GRANT SELECT ON alembic_version
    TO blotter_trader, blotter_execution, blotter_compliance, blotter_desk, blotter_sequencer;

-- These run with the rights of the caller, but nfkc, which reads no table. find_order, get_order and
-- order_requests show a caller its own rows.
REVOKE ALL ON FUNCTION act_as, signed_trader, desk_traders, acting_trader, find_order, get_order, order_requests, nfkc,
    schema_compatibility FROM PUBLIC;
GRANT EXECUTE ON FUNCTION act_as TO blotter_trader, blotter_execution, blotter_compliance, blotter_desk;
GRANT EXECUTE ON FUNCTION signed_trader TO blotter_trader;
GRANT EXECUTE ON FUNCTION desk_traders TO blotter_desk;
GRANT EXECUTE ON FUNCTION get_order, order_requests TO blotter_trader, blotter_desk;
GRANT EXECUTE ON FUNCTION acting_trader, find_order TO blotter_trader, blotter_writer;
GRANT EXECUTE ON FUNCTION nfkc TO blotter_writer;
GRANT EXECUTE ON FUNCTION schema_compatibility TO blotter_trader;  -- which the service asks with at its start

-- The lifecycle, which only the functions below call.
REVOKE ALL ON FUNCTION order_status, terms_violation, canonical_terms, with_terms, apply_event, record_event,
    lock_sequence, lock_sequence_at_once, request_order, cancel_orders, guard_order, guard_log, guard_fill FROM PUBLIC;
GRANT EXECUTE ON FUNCTION order_status, terms_violation, canonical_terms, with_terms, apply_event, record_event,
    lock_sequence, lock_sequence_at_once, request_order, cancel_orders TO blotter_writer;

-- The functions that write, with the rights of their owner blotter_writer. They take the trader from act_as() alone.
-- The owner of the database has no right on them but by this role.
SET ROLE blotter_writer;
REVOKE ALL ON FUNCTION submit_order, submit_orders, cancel_order, replace_order, cancel_open_orders, set_cancel_timer,
    report_execution, expire_orders, fire_cancel_timer, probe_writing, identity_is_signed, database_condition
    FROM PUBLIC;
GRANT EXECUTE ON FUNCTION submit_order, submit_orders, cancel_order, replace_order, cancel_open_orders, set_cancel_timer
    TO blotter_trader;
GRANT EXECUTE ON FUNCTION report_execution, expire_orders, fire_cancel_timer, probe_writing, database_condition
    TO blotter_execution;
GRANT EXECUTE ON FUNCTION identity_is_signed
    TO blotter_trader, blotter_execution, blotter_compliance, blotter_desk;
RESET ROLE;


-- ---------------------------------------------------------------------------------------------------------------------
-- traders: the owner registers them, the logins read them.

ALTER TABLE traders ENABLE ROW LEVEL SECURITY;
ALTER TABLE traders FORCE ROW LEVEL SECURITY;

CREATE POLICY traders_owner_registers ON traders TO blotter_owner
    USING (true);
CREATE POLICY traders_trader_isolation ON traders FOR SELECT TO blotter_trader
    USING (id = nullif(current_setting('app.trader_id', true), '')::uuid);
CREATE POLICY traders_execution_reads_all ON traders FOR SELECT TO blotter_execution
    USING (true);
CREATE POLICY traders_compliance_reads_all ON traders FOR SELECT TO blotter_compliance
    USING (true);
CREATE POLICY traders_desk_isolation ON traders FOR SELECT TO blotter_desk
    USING (desk_id = nullif(current_setting('app.desk_id', true), '')::uuid);

GRANT SELECT ON traders TO blotter_trader, blotter_execution, blotter_compliance, blotter_desk;


-- ---------------------------------------------------------------------------------------------------------------------
-- desks and principals: the owner registers them. A desk sees itself; the service reads what a principal may be.

ALTER TABLE desks ENABLE ROW LEVEL SECURITY;
ALTER TABLE desks FORCE ROW LEVEL SECURITY;
CREATE POLICY desks_owner_registers ON desks TO blotter_owner
    USING (true);
CREATE POLICY desks_execution_reads_all ON desks FOR SELECT TO blotter_execution
    USING (true);
CREATE POLICY desks_desk_isolation ON desks FOR SELECT TO blotter_desk
    USING (id = nullif(current_setting('app.desk_id', true), '')::uuid);
GRANT SELECT ON desks TO blotter_execution, blotter_desk;

ALTER TABLE principals ENABLE ROW LEVEL SECURITY;
ALTER TABLE principals FORCE ROW LEVEL SECURITY;
CREATE POLICY principals_owner_registers ON principals TO blotter_owner
    USING (true);
CREATE POLICY principals_execution_reads_all ON principals FOR SELECT TO blotter_execution
    USING (true);
CREATE POLICY principals_execution_signed ON principals AS RESTRICTIVE FOR SELECT TO blotter_execution
    USING ((SELECT identity_is_signed()));
GRANT SELECT ON principals TO blotter_execution;


-- ---------------------------------------------------------------------------------------------------------------------
-- identity_keys: the owner registers them; identity_is_signed() verifies with them, which runs as blotter_writer. The
-- policies *_signed admit no row while a key is in use and the transaction's identity is not signed with it.

ALTER TABLE identity_keys ENABLE ROW LEVEL SECURITY;
ALTER TABLE identity_keys FORCE ROW LEVEL SECURITY;
CREATE POLICY identity_keys_owner_registers ON identity_keys TO blotter_owner
    USING (true);
CREATE POLICY identity_keys_writer_verifies ON identity_keys FOR SELECT TO blotter_writer
    USING (current_user = 'blotter_writer');
GRANT SELECT ON identity_keys TO blotter_writer;


-- ---------------------------------------------------------------------------------------------------------------------
-- orders: written for the named trader by the functions; read by that trader, the gateway and compliance. Nobody
-- deletes.

ALTER TABLE orders ENABLE ROW LEVEL SECURITY;
ALTER TABLE orders FORCE ROW LEVEL SECURITY;

CREATE POLICY orders_trader_isolation ON orders FOR SELECT TO blotter_trader
    USING (trader_id = nullif(current_setting('app.trader_id', true), '')::uuid);
CREATE POLICY orders_execution_reads_all ON orders FOR SELECT TO blotter_execution
    USING (true);
CREATE POLICY orders_compliance_reads_all ON orders FOR SELECT TO blotter_compliance
    USING (true);
CREATE POLICY orders_desk_isolation ON orders FOR SELECT TO blotter_desk
    USING (trader_id = ANY ((SELECT desk_traders())::uuid[]));
CREATE POLICY orders_trader_signed ON orders AS RESTRICTIVE FOR SELECT TO blotter_trader
    USING (trader_id = (SELECT signed_trader()));
CREATE POLICY orders_execution_signed ON orders AS RESTRICTIVE FOR SELECT TO blotter_execution
    USING ((SELECT identity_is_signed()));
CREATE POLICY orders_compliance_signed ON orders AS RESTRICTIVE FOR SELECT TO blotter_compliance
    USING ((SELECT identity_is_signed()));
CREATE POLICY orders_writer_named ON orders TO blotter_writer
    USING (current_user = 'blotter_writer'
        AND trader_id = nullif(current_setting('app.trader_id', true), '')::uuid);

GRANT SELECT ON orders TO blotter_trader, blotter_execution, blotter_compliance, blotter_desk;
GRANT SELECT, INSERT, UPDATE ON orders TO blotter_writer;


-- ---------------------------------------------------------------------------------------------------------------------
-- fills and their corrections: recorded for the named trader by report_execution alone. Append-only: no UPDATE, DELETE
-- or TRUNCATE is granted, and triggers refuse them (revisions 006 and 020).

ALTER TABLE fills ENABLE ROW LEVEL SECURITY;
ALTER TABLE fills FORCE ROW LEVEL SECURITY;

CREATE POLICY fills_trader_isolation ON fills FOR SELECT TO blotter_trader
    USING (trader_id = nullif(current_setting('app.trader_id', true), '')::uuid);
CREATE POLICY fills_execution_reads_all ON fills FOR SELECT TO blotter_execution
    USING (true);
CREATE POLICY fills_compliance_reads_all ON fills FOR SELECT TO blotter_compliance
    USING (true);
CREATE POLICY fills_desk_isolation ON fills FOR SELECT TO blotter_desk
    USING (trader_id = ANY ((SELECT desk_traders())::uuid[]));
CREATE POLICY fills_trader_signed ON fills AS RESTRICTIVE FOR SELECT TO blotter_trader
    USING (trader_id = (SELECT signed_trader()));
CREATE POLICY fills_execution_signed ON fills AS RESTRICTIVE FOR SELECT TO blotter_execution
    USING ((SELECT identity_is_signed()));
CREATE POLICY fills_compliance_signed ON fills AS RESTRICTIVE FOR SELECT TO blotter_compliance
    USING ((SELECT identity_is_signed()));
CREATE POLICY fills_writer_named ON fills TO blotter_writer
    USING (current_user = 'blotter_writer'
        AND trader_id = nullif(current_setting('app.trader_id', true), '')::uuid);

GRANT SELECT ON fills TO blotter_trader, blotter_execution, blotter_compliance, blotter_desk;
GRANT SELECT, INSERT ON fills TO blotter_writer;

ALTER TABLE fill_corrections ENABLE ROW LEVEL SECURITY;
ALTER TABLE fill_corrections FORCE ROW LEVEL SECURITY;

CREATE POLICY fill_corrections_trader_isolation ON fill_corrections FOR SELECT TO blotter_trader
    USING (trader_id = nullif(current_setting('app.trader_id', true), '')::uuid);
CREATE POLICY fill_corrections_execution_reads_all ON fill_corrections FOR SELECT TO blotter_execution
    USING (true);
CREATE POLICY fill_corrections_compliance_reads_all ON fill_corrections FOR SELECT TO blotter_compliance
    USING (true);
CREATE POLICY fill_corrections_desk_isolation ON fill_corrections FOR SELECT TO blotter_desk
    USING (trader_id = ANY ((SELECT desk_traders())::uuid[]));
CREATE POLICY fill_corrections_trader_signed ON fill_corrections AS RESTRICTIVE FOR SELECT TO blotter_trader
    USING (trader_id = (SELECT signed_trader()));
CREATE POLICY fill_corrections_execution_signed ON fill_corrections AS RESTRICTIVE FOR SELECT TO blotter_execution
    USING ((SELECT identity_is_signed()));
CREATE POLICY fill_corrections_compliance_signed ON fill_corrections AS RESTRICTIVE FOR SELECT TO blotter_compliance
    USING ((SELECT identity_is_signed()));
CREATE POLICY fill_corrections_writer_named ON fill_corrections TO blotter_writer
    USING (current_user = 'blotter_writer'
        AND trader_id = nullif(current_setting('app.trader_id', true), '')::uuid);
CREATE POLICY fill_corrections_immutable_update ON fill_corrections AS RESTRICTIVE FOR UPDATE
    USING (false);
CREATE POLICY fill_corrections_immutable_delete ON fill_corrections AS RESTRICTIVE FOR DELETE
    USING (false);

GRANT SELECT ON fill_corrections TO blotter_trader, blotter_execution, blotter_compliance, blotter_desk;
GRANT SELECT, INSERT ON fill_corrections TO blotter_writer;


-- ---------------------------------------------------------------------------------------------------------------------
-- execution_logs: the audit trail, one row for each event, written by record_event with the state that it holds.
-- Append-only: not granted, forbidden by the two RESTRICTIVE policies, which no other policy can override, and
-- refused by triggers.

ALTER TABLE execution_logs ENABLE ROW LEVEL SECURITY;
ALTER TABLE execution_logs FORCE ROW LEVEL SECURITY;

CREATE POLICY execution_logs_trader_isolation ON execution_logs FOR SELECT TO blotter_trader
    USING (trader_id = nullif(current_setting('app.trader_id', true), '')::uuid);
CREATE POLICY execution_logs_execution_reads_all ON execution_logs FOR SELECT TO blotter_execution
    USING (true);
CREATE POLICY execution_logs_compliance_reads_all ON execution_logs FOR SELECT TO blotter_compliance
    USING (true);
CREATE POLICY execution_logs_desk_isolation ON execution_logs FOR SELECT TO blotter_desk
    USING (trader_id = ANY ((SELECT desk_traders())::uuid[]));
CREATE POLICY execution_logs_trader_signed ON execution_logs AS RESTRICTIVE FOR SELECT TO blotter_trader
    USING (trader_id = (SELECT signed_trader()));
CREATE POLICY execution_logs_execution_signed ON execution_logs AS RESTRICTIVE FOR SELECT TO blotter_execution
    USING ((SELECT identity_is_signed()));
CREATE POLICY execution_logs_compliance_signed ON execution_logs AS RESTRICTIVE FOR SELECT TO blotter_compliance
    USING ((SELECT identity_is_signed()));
CREATE POLICY execution_logs_writer_named ON execution_logs TO blotter_writer
    USING (current_user = 'blotter_writer'
        AND trader_id = nullif(current_setting('app.trader_id', true), '')::uuid);
CREATE POLICY execution_logs_immutable ON execution_logs AS RESTRICTIVE FOR UPDATE
    USING (false);
CREATE POLICY execution_logs_immutable_delete ON execution_logs AS RESTRICTIVE FOR DELETE
    USING (false);

GRANT SELECT ON execution_logs TO blotter_trader, blotter_execution, blotter_compliance, blotter_desk;
GRANT SELECT, INSERT ON execution_logs TO blotter_writer;


-- ---------------------------------------------------------------------------------------------------------------------
-- trader_sequences: each trader's counter, which every writing function locks and advances for the named trader.

ALTER TABLE trader_sequences ENABLE ROW LEVEL SECURITY;
ALTER TABLE trader_sequences FORCE ROW LEVEL SECURITY;

CREATE POLICY trader_sequences_trader_isolation ON trader_sequences FOR SELECT TO blotter_trader
    USING (trader_id = nullif(current_setting('app.trader_id', true), '')::uuid);
CREATE POLICY trader_sequences_execution_reads_all ON trader_sequences FOR SELECT TO blotter_execution
    USING (true);
CREATE POLICY trader_sequences_compliance_reads_all ON trader_sequences FOR SELECT TO blotter_compliance
    USING (true);
CREATE POLICY trader_sequences_trader_signed ON trader_sequences AS RESTRICTIVE FOR SELECT TO blotter_trader
    USING (trader_id = (SELECT signed_trader()));
CREATE POLICY trader_sequences_execution_signed ON trader_sequences AS RESTRICTIVE FOR SELECT TO blotter_execution
    USING ((SELECT identity_is_signed()));
CREATE POLICY trader_sequences_compliance_signed ON trader_sequences AS RESTRICTIVE FOR SELECT TO blotter_compliance
    USING ((SELECT identity_is_signed()));
CREATE POLICY trader_sequences_writer_named ON trader_sequences TO blotter_writer
    USING (current_user = 'blotter_writer'
        AND trader_id = nullif(current_setting('app.trader_id', true), '')::uuid);

GRANT SELECT ON trader_sequences TO blotter_trader, blotter_execution, blotter_compliance;
GRANT SELECT, INSERT, UPDATE ON trader_sequences TO blotter_writer;


-- ---------------------------------------------------------------------------------------------------------------------
-- cancel_timers: at most one for each trader. The trader's login sets it, the gateway's login runs it.

ALTER TABLE cancel_timers ENABLE ROW LEVEL SECURITY;
ALTER TABLE cancel_timers FORCE ROW LEVEL SECURITY;

CREATE POLICY cancel_timers_trader_isolation ON cancel_timers FOR SELECT TO blotter_trader
    USING (trader_id = nullif(current_setting('app.trader_id', true), '')::uuid);
CREATE POLICY cancel_timers_execution_reads_all ON cancel_timers FOR SELECT TO blotter_execution
    USING (true);
CREATE POLICY cancel_timers_compliance_reads_all ON cancel_timers FOR SELECT TO blotter_compliance
    USING (true);
CREATE POLICY cancel_timers_trader_signed ON cancel_timers AS RESTRICTIVE FOR SELECT TO blotter_trader
    USING (trader_id = (SELECT signed_trader()));
CREATE POLICY cancel_timers_execution_signed ON cancel_timers AS RESTRICTIVE FOR SELECT TO blotter_execution
    USING ((SELECT identity_is_signed()));
CREATE POLICY cancel_timers_compliance_signed ON cancel_timers AS RESTRICTIVE FOR SELECT TO blotter_compliance
    USING ((SELECT identity_is_signed()));
CREATE POLICY cancel_timers_writer_named ON cancel_timers TO blotter_writer
    USING (current_user = 'blotter_writer'
        AND trader_id = nullif(current_setting('app.trader_id', true), '')::uuid);

GRANT SELECT ON cancel_timers TO blotter_trader, blotter_execution, blotter_compliance;
GRANT SELECT, INSERT, UPDATE, DELETE ON cancel_timers TO blotter_writer;


-- ---------------------------------------------------------------------------------------------------------------------
-- The ledger: the sequencer appends all logs to it; execution and compliance read it; nobody changes it. A trigger makes
-- the leaves of logs again and refuses any other (revision 024); another writes those of notes.

REVOKE ALL ON FUNCTION canonical_json, canonical_time, canonical_decimal, canonical_object, execution_log_leaf,
    ledger_incarnation, append_to_ledger, traders_with_news, append_note_to_ledger, rebaseline_ledger FROM PUBLIC;
GRANT EXECUTE ON FUNCTION canonical_json, canonical_time, canonical_decimal, canonical_object, execution_log_leaf
    TO blotter_sequencer, blotter_compliance;
GRANT EXECUTE ON FUNCTION ledger_incarnation, append_to_ledger, traders_with_news, append_note_to_ledger,
    rebaseline_ledger TO blotter_sequencer;

CREATE POLICY execution_logs_sequencer_reads_all ON execution_logs FOR SELECT TO blotter_sequencer USING (true);
CREATE POLICY trader_sequences_sequencer_reads_all ON trader_sequences FOR SELECT TO blotter_sequencer USING (true);
GRANT SELECT ON execution_logs, trader_sequences TO blotter_sequencer;

ALTER TABLE ledger_entries ENABLE ROW LEVEL SECURITY;
ALTER TABLE ledger_entries FORCE ROW LEVEL SECURITY;
CREATE POLICY ledger_entries_sequencer_writes ON ledger_entries TO blotter_sequencer USING (true);
CREATE POLICY ledger_entries_execution_reads_all ON ledger_entries FOR SELECT TO blotter_execution USING (true);
CREATE POLICY ledger_entries_compliance_reads_all ON ledger_entries FOR SELECT TO blotter_compliance USING (true);
CREATE POLICY ledger_entries_desk_isolation ON ledger_entries FOR SELECT TO blotter_desk
    USING (trader_id = ANY ((SELECT desk_traders())::uuid[]));
CREATE POLICY ledger_entries_execution_signed ON ledger_entries AS RESTRICTIVE FOR SELECT TO blotter_execution
    USING ((SELECT identity_is_signed()));
CREATE POLICY ledger_entries_compliance_signed ON ledger_entries AS RESTRICTIVE FOR SELECT TO blotter_compliance
    USING ((SELECT identity_is_signed()));
CREATE POLICY ledger_entries_immutable_update ON ledger_entries AS RESTRICTIVE FOR UPDATE USING (false);
CREATE POLICY ledger_entries_immutable_delete ON ledger_entries AS RESTRICTIVE FOR DELETE USING (false);
GRANT SELECT ON ledger_entries TO blotter_execution, blotter_compliance, blotter_desk, blotter_sequencer;
GRANT INSERT (position, kind, trader_id, sequence, leaf) ON ledger_entries TO blotter_sequencer;

ALTER TABLE ledger_tiles ENABLE ROW LEVEL SECURITY;
ALTER TABLE ledger_tiles FORCE ROW LEVEL SECURITY;
CREATE POLICY ledger_tiles_sequencer_writes ON ledger_tiles TO blotter_sequencer USING (true);
CREATE POLICY ledger_tiles_execution_reads_all ON ledger_tiles FOR SELECT TO blotter_execution USING (true);
CREATE POLICY ledger_tiles_compliance_reads_all ON ledger_tiles FOR SELECT TO blotter_compliance USING (true);
CREATE POLICY ledger_tiles_immutable_update ON ledger_tiles AS RESTRICTIVE FOR UPDATE USING (false);
CREATE POLICY ledger_tiles_immutable_delete ON ledger_tiles AS RESTRICTIVE FOR DELETE USING (false);
GRANT SELECT ON ledger_tiles TO blotter_execution, blotter_compliance, blotter_sequencer;
GRANT INSERT (level, tile_index, hashes, root) ON ledger_tiles TO blotter_sequencer;

ALTER TABLE ledger_checkpoints ENABLE ROW LEVEL SECURITY;
ALTER TABLE ledger_checkpoints FORCE ROW LEVEL SECURITY;
CREATE POLICY ledger_checkpoints_sequencer_writes ON ledger_checkpoints TO blotter_sequencer USING (true);
CREATE POLICY ledger_checkpoints_execution_reads_all ON ledger_checkpoints FOR SELECT TO blotter_execution USING (true);
CREATE POLICY ledger_checkpoints_compliance_reads_all ON ledger_checkpoints FOR SELECT TO blotter_compliance USING (true);
CREATE POLICY ledger_checkpoints_immutable_update ON ledger_checkpoints AS RESTRICTIVE FOR UPDATE USING (false);
CREATE POLICY ledger_checkpoints_immutable_delete ON ledger_checkpoints AS RESTRICTIVE FOR DELETE USING (false);
GRANT SELECT ON ledger_checkpoints TO blotter_execution, blotter_compliance, blotter_sequencer;
GRANT INSERT (size, root_hash, note) ON ledger_checkpoints TO blotter_sequencer;

ALTER TABLE ledger_cosignatures ENABLE ROW LEVEL SECURITY;
ALTER TABLE ledger_cosignatures FORCE ROW LEVEL SECURITY;
CREATE POLICY ledger_cosignatures_sequencer_writes ON ledger_cosignatures TO blotter_sequencer USING (true);
CREATE POLICY ledger_cosignatures_execution_reads_all ON ledger_cosignatures FOR SELECT TO blotter_execution USING (true);
CREATE POLICY ledger_cosignatures_compliance_reads_all ON ledger_cosignatures FOR SELECT TO blotter_compliance USING (true);
CREATE POLICY ledger_cosignatures_immutable_update ON ledger_cosignatures AS RESTRICTIVE FOR UPDATE USING (false);
CREATE POLICY ledger_cosignatures_immutable_delete ON ledger_cosignatures AS RESTRICTIVE FOR DELETE USING (false);
GRANT SELECT ON ledger_cosignatures TO blotter_execution, blotter_compliance, blotter_sequencer;
GRANT INSERT (size, witness, signature) ON ledger_cosignatures TO blotter_sequencer;

ALTER TABLE ledger_head ENABLE ROW LEVEL SECURITY;
ALTER TABLE ledger_head FORCE ROW LEVEL SECURITY;
CREATE POLICY ledger_head_sequencer_writes ON ledger_head TO blotter_sequencer USING (true);
CREATE POLICY ledger_head_execution_reads_all ON ledger_head FOR SELECT TO blotter_execution USING (true);
CREATE POLICY ledger_head_compliance_reads_all ON ledger_head FOR SELECT TO blotter_compliance USING (true);
CREATE POLICY ledger_head_desk_reads ON ledger_head FOR SELECT TO blotter_desk USING (true);
GRANT SELECT ON ledger_head TO blotter_execution, blotter_compliance, blotter_desk, blotter_sequencer;
GRANT INSERT (id) ON ledger_head TO blotter_sequencer;
GRANT UPDATE (size, incarnation, next_xid, open_xids) ON ledger_head TO blotter_sequencer;

-- ---------------------------------------------------------------------------------------------------------------------
-- Reads by compliance, which compliance itself records and nobody changes or deletes.

ALTER TABLE audit_accesses ENABLE ROW LEVEL SECURITY;
ALTER TABLE audit_accesses FORCE ROW LEVEL SECURITY;
CREATE POLICY audit_accesses_compliance_reads_all ON audit_accesses FOR SELECT TO blotter_compliance USING (true);
CREATE POLICY audit_accesses_compliance_records ON audit_accesses FOR INSERT TO blotter_compliance WITH CHECK (true);
CREATE POLICY audit_accesses_compliance_signed ON audit_accesses AS RESTRICTIVE TO blotter_compliance
    USING ((SELECT identity_is_signed()));
CREATE POLICY audit_accesses_immutable_update ON audit_accesses AS RESTRICTIVE FOR UPDATE USING (false);
CREATE POLICY audit_accesses_immutable_delete ON audit_accesses AS RESTRICTIVE FOR DELETE USING (false);
GRANT SELECT ON audit_accesses TO blotter_compliance;
GRANT INSERT (actor, request_id, method, request) ON audit_accesses TO blotter_compliance;

COMMIT;

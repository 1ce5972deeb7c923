"""Know the callers: desks, their supervisors' login, and the principals that tokens and certificates name.

- desks: groups of traders. A trader belongs to at most one desk (traders.desk_id).
- blotter_desk: the login of supervisors. It reads orders, fills, logs and ledger entries of the traders of the desk
  that act_as() names, and writes nothing.
- principals: the subjects of tokens and certificates, and what each may call as. The owner registers them; the service
  reads them as blotter_execution.
- act_as() takes the desk as well, and a signature. While identity_keys has a key in use, identity_is_signed() verifies
  the signature: in act_as(), which refuses the transaction without it; at the beginning of each function that writes;
  and in a restrictive policy of each table with orders, logs or requests. The key is readable by the owner and by the
  owner of the function, blotter_writer.
- database_condition(): what operators observe of the database, without the rights to see it.

A function without arguments in a policy is evaluated for each row, also if it is STABLE: PostgreSQL keeps the
conditions of policies at their table, and makes no one-time filter of them. Therefore the policies ask for it in a
subquery, which is evaluated once for each statement and table. Distributed tables (Citus) accept no subquery in a
policy: there the calls would have to stand without it.

Why: a name in the metadata of a call identifies nobody. Where callers are identified by tokens or certificates, the
database states what each may be, so that a token alone does not make a role.

The revision needs the login blotter_desk: run sql/roles.sql of this release first, as a superuser.

Tables are locked exclusively for a moment; none is rewritten. The downgrade drops desks and principals.

Revision: 021
Follows: 020
"""

from __future__ import annotations

from alembic import op

revision = "021"
down_revision = "020"
branch_labels = None
depends_on = None

step = "contract"  # with 020 part of one release: no server that does not know it was released

LOCK = """
    SET LOCAL lock_timeout = '5s';
    LOCK TABLE traders IN ACCESS EXCLUSIVE MODE;
    LOCK TABLE trader_sequences, orders, fills, execution_logs, fill_corrections, cancel_timers, ledger_entries,
        ledger_head IN ACCESS EXCLUSIVE MODE;
"""

TABLES = """
    CREATE TABLE identity_keys (
        id smallint CONSTRAINT identity_keys_pkey PRIMARY KEY,
        inner_pad bytea NOT NULL,
        outer_pad bytea NOT NULL,
        created_at timestamptz NOT NULL DEFAULT now(),
        retired_at timestamptz,
        CONSTRAINT ck_identity_keys_pads CHECK (octet_length(inner_pad) = 64 AND octet_length(outer_pad) = 64)
    );
    COMMENT ON TABLE identity_keys IS 'The keys that sign the identity of a transaction; none: it is not signed';
    COMMENT ON COLUMN identity_keys.inner_pad IS 'The key, filled up to 64 bytes with 0, XOR 0x36 (RFC 2104)';
    COMMENT ON COLUMN identity_keys.outer_pad IS 'The key, filled up to 64 bytes with 0, XOR 0x5c (RFC 2104)';
    COMMENT ON COLUMN identity_keys.retired_at IS 'Since when its signatures are refused';

    CREATE TABLE desks (
        id uuid DEFAULT gen_random_uuid() CONSTRAINT desks_pkey PRIMARY KEY,
        name varchar(100) NOT NULL,
        created_at timestamptz NOT NULL DEFAULT now(),
        CONSTRAINT ck_desks_name_not_empty CHECK (length(name) > 0)
    );
    COMMENT ON TABLE desks IS 'Groups of traders whose orders a supervisor reads';
    CREATE UNIQUE INDEX uq_desks_name ON desks (lower(name::text));
    ALTER TABLE desks ALTER COLUMN id SET STATISTICS 0, ALTER COLUMN name SET STATISTICS 0;

    ALTER TABLE traders ADD COLUMN desk_id uuid CONSTRAINT fk_traders_desk_id REFERENCES desks (id);
    COMMENT ON COLUMN traders.desk_id IS 'The desk that the trader belongs to';
    ALTER TABLE traders ALTER COLUMN desk_id SET STATISTICS 0;
    CREATE INDEX idx_traders_desk ON traders (desk_id) WHERE desk_id IS NOT NULL;

    CREATE TABLE principals (
        issuer varchar(500) NOT NULL,
        subject varchar(2000) NOT NULL,
        kind text NOT NULL,
        trader_id uuid CONSTRAINT fk_principals_trader_id REFERENCES traders (id),
        desk_id uuid CONSTRAINT fk_principals_desk_id REFERENCES desks (id),
        actor varchar(100),
        created_at timestamptz NOT NULL DEFAULT now(),
        disabled_at timestamptz,
        CONSTRAINT principals_pkey PRIMARY KEY (issuer, subject),
        CONSTRAINT ck_principals_names_visible CHECK (
            issuer ~ '^[^[:cntrl:][:space:]]+$' AND subject ~ '^[^[:cntrl:]]+$'),
        CONSTRAINT ck_principals_kind CHECK (kind IN ('trader', 'execution', 'compliance', 'desk')),
        CONSTRAINT ck_principals_trader_of_kind CHECK ((kind = 'trader') = (trader_id IS NOT NULL)),
        CONSTRAINT ck_principals_desk_of_kind CHECK ((kind = 'desk') = (desk_id IS NOT NULL)),
        CONSTRAINT ck_principals_actor_printable CHECK (actor ~ '^[!-~]([ -~]*[!-~])?$')
    );
    COMMENT ON TABLE principals IS 'What the subjects of tokens and certificates may call as';
    COMMENT ON COLUMN principals.issuer IS 'The issuer of the tokens (iss), or mtls for certificates';
    COMMENT ON COLUMN principals.subject IS 'The subject of the tokens (sub), or the name in the certificate';
    COMMENT ON COLUMN principals.actor IS 'The actor that logs record; null: the one of the token, or the subject';
    COMMENT ON COLUMN principals.disabled_at IS 'Since when its calls are refused';
    ALTER TABLE principals ALTER COLUMN subject SET STATISTICS 0, ALTER COLUMN trader_id SET STATISTICS 0,
        ALTER COLUMN desk_id SET STATISTICS 0;
"""

FUNCTIONS = """
    -- HMAC-SHA-256 (RFC 2104) of login, trader, desk and the rest of the setting app.identity, which is: the MAC in 64
    -- hexadecimal digits, then KEY|EXPIRY|NONCE|SUBJECT, the expiry in seconds since the epoch. Called for each
    -- statement, so all names are qualified, and the search path is not set.
    CREATE FUNCTION identity_is_signed() RETURNS boolean LANGUAGE plpgsql STABLE PARALLEL SAFE AS $$
    DECLARE
        v_identity pg_catalog.text := pg_catalog.current_setting('app.identity', true);
        v_trader_id pg_catalog.text := pg_catalog.current_setting('app.trader_id', true);
        v_desk_id pg_catalog.text := pg_catalog.current_setting('app.desk_id', true);
        v_signed pg_catalog.text := pg_catalog.substr(v_identity, 65);
        v_text pg_catalog.text := session_user OPERATOR(pg_catalog.||) '|'
            OPERATOR(pg_catalog.||) v_trader_id OPERATOR(pg_catalog.||) '|'
            OPERATOR(pg_catalog.||) v_desk_id OPERATOR(pg_catalog.||) '|'
            OPERATOR(pg_catalog.||) v_signed;
        v_inner_pad pg_catalog.bytea;
        v_outer_pad pg_catalog.bytea;
    BEGIN
        IF pg_catalog.current_setting('transaction_isolation') OPERATOR(pg_catalog.<>) 'read committed' THEN
            -- The snapshot may be older than a key, or than its retirement.
            RETURN false;
        END IF;
        SELECT inner_pad, outer_pad INTO v_inner_pad, v_outer_pad FROM public.identity_keys
        WHERE id::pg_catalog.text OPERATOR(pg_catalog.=) pg_catalog.split_part(v_signed, '|', 1)
          AND retired_at IS NULL;
        IF NOT FOUND THEN
            -- Without a key in use the deployment does not sign identities.
            RETURN NOT EXISTS (SELECT FROM public.identity_keys WHERE retired_at IS NULL);
        END IF;
        IF pg_catalog.octet_length(v_identity) OPERATOR(pg_catalog.>) 4096
                OR v_trader_id OPERATOR(pg_catalog.~) '[^0-9a-f-]' OR v_desk_id OPERATOR(pg_catalog.~) '[^0-9a-f-]' THEN
            -- A separator in one of the settings would let a signature name another desk, or another expiry.
            RETURN false;
        END IF;
        -- A setting that was never set is NULL, and so is the comparison. The expiry is read once the MAC is right.
        RETURN coalesce(CASE WHEN pg_catalog.encode(pg_catalog.sha256(v_outer_pad OPERATOR(pg_catalog.||)
                pg_catalog.sha256(v_inner_pad OPERATOR(pg_catalog.||) pg_catalog.convert_to(v_text, 'UTF8'))), 'hex')
                OPERATOR(pg_catalog.=) pg_catalog.substr(v_identity, 1, 64)
            THEN pg_catalog.split_part(v_signed, '|', 2)::pg_catalog.float8 OPERATOR(pg_catalog.>)
                pg_catalog.date_part('epoch', pg_catalog.clock_timestamp()) END, false);
    END $$;
    COMMENT ON FUNCTION identity_is_signed IS
        'Whether app.identity is the signature of session_user, app.trader_id and app.desk_id, and is not expired';

    -- Policies take the trader from here: the value that is verified is the one that is compared with the rows,
    -- whatever a statement sets between the two.
    CREATE FUNCTION signed_trader() RETURNS uuid LANGUAGE plpgsql STABLE PARALLEL SAFE
    SET search_path = pg_catalog, public, pg_temp AS $$
    BEGIN
        RETURN CASE WHEN identity_is_signed() THEN nullif(current_setting('app.trader_id', true), '')::uuid END;
    END $$;
    COMMENT ON FUNCTION signed_trader IS 'The trader of the transaction; null if its identity is not signed';

    DROP FUNCTION act_as(uuid);
    CREATE FUNCTION act_as(p_trader_id uuid, p_desk_id uuid DEFAULT NULL, p_identity text DEFAULT NULL)
    RETURNS boolean LANGUAGE plpgsql SET search_path = pg_catalog, public, pg_temp AS $$
    DECLARE
        v_disabled_at timestamptz;
        v_known boolean;
    BEGIN
        PERFORM set_config('app.trader_id', coalesce(p_trader_id::text, ''), true),
            set_config('app.desk_id', coalesce(p_desk_id::text, ''), true),
            set_config('app.identity', coalesce(p_identity, ''), true);
        IF NOT identity_is_signed() THEN
            RAISE EXCEPTION 'The identity is not signed with a key in use, or its signature has expired.'
                USING ERRCODE = 'insufficient_privilege', CONSTRAINT = 'identity_is_signed';
        END IF;
        IF p_desk_id IS NOT NULL THEN
            RETURN EXISTS (SELECT FROM desks WHERE id = p_desk_id);
        ELSIF p_trader_id IS NULL THEN
            RETURN true;
        END IF;
        SELECT disabled_at INTO v_disabled_at FROM traders WHERE id = p_trader_id;
        v_known := FOUND;
        IF v_disabled_at IS NOT NULL AND current_user = 'blotter_trader' THEN
            -- An error, because after a returned value the rest of the message would still run.
            RAISE EXCEPTION 'Refused by traders_are_enabled.' USING
                ERRCODE = 'check_violation', CONSTRAINT = 'traders_are_enabled', TABLE = 'traders';
        END IF;
        RETURN v_known;
    END $$;
    COMMENT ON FUNCTION act_as IS
        'Set the trader or the desk of the transaction; returns false for an unknown one; refuses a disabled trader';

    -- The login's own transaction is verified where each writing function begins; what they call trusts that.
    CREATE OR REPLACE FUNCTION acting_trader() RETURNS uuid LANGUAGE plpgsql STABLE
    SET search_path = pg_catalog, public, pg_temp AS $$
    DECLARE
        v_trader_id text := nullif(current_setting('app.trader_id', true), '');
    BEGIN
        IF v_trader_id IS NULL THEN
            RAISE EXCEPTION 'No trader is named: call act_as() in the same transaction.'
                USING ERRCODE = 'insufficient_privilege';
        ELSIF NOT identity_is_signed() THEN
            RAISE EXCEPTION 'The identity is not signed with a key in use, or its signature has expired.'
                USING ERRCODE = 'insufficient_privilege', CONSTRAINT = 'identity_is_signed';
        END IF;
        RETURN v_trader_id;
    END $$;

    CREATE OR REPLACE FUNCTION lock_sequence() RETURNS bigint LANGUAGE plpgsql AS $$
    DECLARE
        v_trader_id uuid := current_setting('app.trader_id', true);
        v_last bigint;
    BEGIN
        SELECT coalesce(last_sequence, 0) INTO v_last
        FROM trader_sequences WHERE trader_id = v_trader_id FOR NO KEY UPDATE;
        IF NOT FOUND THEN
            INSERT INTO trader_sequences (trader_id) VALUES (v_trader_id) ON CONFLICT (trader_id) DO NOTHING;
            SELECT coalesce(last_sequence, 0) INTO v_last
            FROM trader_sequences WHERE trader_id = v_trader_id FOR NO KEY UPDATE;
        END IF;
        RETURN v_last;
    END $$;

    CREATE OR REPLACE FUNCTION lock_sequence_at_once() RETURNS bigint LANGUAGE plpgsql AS $$
    DECLARE
        v_trader_id uuid := current_setting('app.trader_id', true);
        v_last bigint;
    BEGIN
        SELECT coalesce(last_sequence, 0) INTO v_last
        FROM trader_sequences WHERE trader_id = v_trader_id FOR NO KEY UPDATE NOWAIT;
        IF NOT FOUND THEN
            -- The trader's first order may be about to be committed: its transaction has the row.
            INSERT INTO trader_sequences (trader_id) VALUES (v_trader_id) ON CONFLICT (trader_id) DO NOTHING;
            SELECT coalesce(last_sequence, 0) INTO v_last
            FROM trader_sequences WHERE trader_id = v_trader_id FOR NO KEY UPDATE;
        END IF;
        RETURN v_last;
    END $$;

    CREATE FUNCTION desk_traders() RETURNS uuid[] LANGUAGE plpgsql STABLE PARALLEL SAFE
    SET search_path = pg_catalog, public, pg_temp AS $$
    DECLARE
        v_desk_id uuid := CASE WHEN identity_is_signed() THEN nullif(current_setting('app.desk_id', true), '') END;
    BEGIN
        RETURN ARRAY(SELECT id FROM traders WHERE desk_id = v_desk_id);
    END $$;
    COMMENT ON FUNCTION desk_traders IS
        'The traders of the desk of the transaction; none if its identity is not signed';

    -- Sessions of other logins are visible to members of pg_read_all_stats only, which sql/harden.sql grants.
    CREATE FUNCTION database_condition(
        OUT oldest_transaction_seconds double precision, OUT xmin_age bigint, OUT counter_table_bytes bigint,
        OUT counter_dead_rows bigint
    ) LANGUAGE plpgsql SET search_path = pg_catalog, public, pg_temp AS $$
    BEGIN
        IF pg_has_role('pg_read_all_stats', 'USAGE') THEN
            SELECT coalesce(max(date_part('epoch', clock_timestamp() - xact_start))
                        FILTER (WHERE backend_type = 'client backend'), 0),
                coalesce(max(age(backend_xmin)), 0)
            INTO oldest_transaction_seconds, xmin_age
            FROM pg_stat_activity
            WHERE pid <> pg_backend_pid() AND (datname = current_database() OR backend_type = 'walsender');
            SELECT greatest(xmin_age, (SELECT max(age(xmin)) FROM pg_replication_slots),
                (SELECT max(age(transaction)) FROM pg_prepared_xacts WHERE database = current_database()))
            INTO xmin_age;
        END IF;
        counter_table_bytes := pg_table_size('trader_sequences');
        counter_dead_rows := pg_stat_get_dead_tuples('trader_sequences'::regclass);
    END $$;
    COMMENT ON FUNCTION database_condition IS
        'What holds back VACUUM, and the bloat of the counters; null: not visible without sql/harden.sql';
"""

PRIVILEGES = """
    DO $$ BEGIN
        EXECUTE format('GRANT CONNECT ON DATABASE %I TO blotter_desk', current_database());
    END $$;
    GRANT USAGE ON SCHEMA public TO blotter_desk;
    GRANT SELECT ON alembic_version TO blotter_desk;
    REVOKE ALL ON FUNCTION act_as, identity_is_signed, signed_trader, desk_traders, database_condition FROM PUBLIC;
    GRANT EXECUTE ON FUNCTION signed_trader TO blotter_trader;
    GRANT EXECUTE ON FUNCTION database_condition TO blotter_execution;
    GRANT EXECUTE ON FUNCTION identity_is_signed
        TO blotter_trader, blotter_execution, blotter_compliance, blotter_desk, blotter_writer;
    ALTER FUNCTION identity_is_signed SECURITY DEFINER;
    ALTER FUNCTION database_condition SECURITY DEFINER;
    GRANT CREATE ON SCHEMA public TO blotter_writer;
    ALTER FUNCTION identity_is_signed OWNER TO blotter_writer;
    ALTER FUNCTION database_condition OWNER TO blotter_writer;
    REVOKE CREATE ON SCHEMA public FROM blotter_writer;

    ALTER TABLE identity_keys ENABLE ROW LEVEL SECURITY;
    ALTER TABLE identity_keys FORCE ROW LEVEL SECURITY;
    CREATE POLICY identity_keys_owner_registers ON identity_keys TO blotter_owner USING (true);
    CREATE POLICY identity_keys_writer_verifies ON identity_keys FOR SELECT TO blotter_writer
        USING (current_user = 'blotter_writer');
    GRANT SELECT ON identity_keys TO blotter_writer;
    GRANT EXECUTE ON FUNCTION act_as TO blotter_trader, blotter_execution, blotter_compliance, blotter_desk;
    GRANT EXECUTE ON FUNCTION desk_traders TO blotter_desk;

    ALTER TABLE desks ENABLE ROW LEVEL SECURITY;
    ALTER TABLE desks FORCE ROW LEVEL SECURITY;
    CREATE POLICY desks_owner_registers ON desks TO blotter_owner USING (true);
    CREATE POLICY desks_execution_reads_all ON desks FOR SELECT TO blotter_execution USING (true);
    CREATE POLICY desks_desk_isolation ON desks FOR SELECT TO blotter_desk
        USING (id = nullif(current_setting('app.desk_id', true), '')::uuid);
    GRANT SELECT ON desks TO blotter_execution, blotter_desk;

    ALTER TABLE principals ENABLE ROW LEVEL SECURITY;
    ALTER TABLE principals FORCE ROW LEVEL SECURITY;
    CREATE POLICY principals_owner_registers ON principals TO blotter_owner USING (true);
    CREATE POLICY principals_execution_reads_all ON principals FOR SELECT TO blotter_execution USING (true);
    GRANT SELECT ON principals TO blotter_execution;

    CREATE POLICY traders_desk_isolation ON traders FOR SELECT TO blotter_desk
        USING (desk_id = nullif(current_setting('app.desk_id', true), '')::uuid);
    CREATE POLICY orders_desk_isolation ON orders FOR SELECT TO blotter_desk
        USING (trader_id = ANY ((SELECT desk_traders())::uuid[]));
    CREATE POLICY fills_desk_isolation ON fills FOR SELECT TO blotter_desk
        USING (trader_id = ANY ((SELECT desk_traders())::uuid[]));
    CREATE POLICY fill_corrections_desk_isolation ON fill_corrections FOR SELECT TO blotter_desk
        USING (trader_id = ANY ((SELECT desk_traders())::uuid[]));
    CREATE POLICY execution_logs_desk_isolation ON execution_logs FOR SELECT TO blotter_desk
        USING (trader_id = ANY ((SELECT desk_traders())::uuid[]));
    CREATE POLICY ledger_entries_desk_isolation ON ledger_entries FOR SELECT TO blotter_desk
        USING (trader_id = ANY ((SELECT desk_traders())::uuid[]));
    CREATE POLICY ledger_head_desk_reads ON ledger_head FOR SELECT TO blotter_desk USING (true);
    GRANT SELECT ON traders, orders, fills, fill_corrections, execution_logs, ledger_entries, ledger_head
        TO blotter_desk;

    CREATE POLICY orders_trader_signed ON orders AS RESTRICTIVE FOR SELECT TO blotter_trader
        USING (trader_id = (SELECT signed_trader()));
    CREATE POLICY orders_execution_signed ON orders AS RESTRICTIVE FOR SELECT TO blotter_execution
        USING ((SELECT identity_is_signed()));
    CREATE POLICY orders_compliance_signed ON orders AS RESTRICTIVE FOR SELECT TO blotter_compliance
        USING ((SELECT identity_is_signed()));
    CREATE POLICY fills_trader_signed ON fills AS RESTRICTIVE FOR SELECT TO blotter_trader
        USING (trader_id = (SELECT signed_trader()));
    CREATE POLICY fills_execution_signed ON fills AS RESTRICTIVE FOR SELECT TO blotter_execution
        USING ((SELECT identity_is_signed()));
    CREATE POLICY fills_compliance_signed ON fills AS RESTRICTIVE FOR SELECT TO blotter_compliance
        USING ((SELECT identity_is_signed()));
    CREATE POLICY fill_corrections_trader_signed ON fill_corrections AS RESTRICTIVE FOR SELECT TO blotter_trader
        USING (trader_id = (SELECT signed_trader()));
    CREATE POLICY fill_corrections_execution_signed ON fill_corrections AS RESTRICTIVE FOR SELECT TO blotter_execution
        USING ((SELECT identity_is_signed()));
    CREATE POLICY fill_corrections_compliance_signed ON fill_corrections AS RESTRICTIVE FOR SELECT TO blotter_compliance
        USING ((SELECT identity_is_signed()));
    CREATE POLICY execution_logs_trader_signed ON execution_logs AS RESTRICTIVE FOR SELECT TO blotter_trader
        USING (trader_id = (SELECT signed_trader()));
    CREATE POLICY execution_logs_execution_signed ON execution_logs AS RESTRICTIVE FOR SELECT TO blotter_execution
        USING ((SELECT identity_is_signed()));
    CREATE POLICY execution_logs_compliance_signed ON execution_logs AS RESTRICTIVE FOR SELECT TO blotter_compliance
        USING ((SELECT identity_is_signed()));
    CREATE POLICY ledger_entries_execution_signed ON ledger_entries AS RESTRICTIVE FOR SELECT TO blotter_execution
        USING ((SELECT identity_is_signed()));
    CREATE POLICY ledger_entries_compliance_signed ON ledger_entries AS RESTRICTIVE FOR SELECT TO blotter_compliance
        USING ((SELECT identity_is_signed()));
    CREATE POLICY trader_sequences_trader_signed ON trader_sequences AS RESTRICTIVE FOR SELECT TO blotter_trader
        USING (trader_id = (SELECT signed_trader()));
    CREATE POLICY trader_sequences_execution_signed ON trader_sequences AS RESTRICTIVE FOR SELECT TO blotter_execution
        USING ((SELECT identity_is_signed()));
    CREATE POLICY trader_sequences_compliance_signed ON trader_sequences AS RESTRICTIVE FOR SELECT TO blotter_compliance
        USING ((SELECT identity_is_signed()));
    CREATE POLICY cancel_timers_trader_signed ON cancel_timers AS RESTRICTIVE FOR SELECT TO blotter_trader
        USING (trader_id = (SELECT signed_trader()));
    CREATE POLICY cancel_timers_execution_signed ON cancel_timers AS RESTRICTIVE FOR SELECT TO blotter_execution
        USING ((SELECT identity_is_signed()));
    CREATE POLICY cancel_timers_compliance_signed ON cancel_timers AS RESTRICTIVE FOR SELECT TO blotter_compliance
        USING ((SELECT identity_is_signed()));
    CREATE POLICY audit_accesses_compliance_signed ON audit_accesses AS RESTRICTIVE TO blotter_compliance
        USING ((SELECT identity_is_signed()));
    CREATE POLICY principals_execution_signed ON principals AS RESTRICTIVE FOR SELECT TO blotter_execution
        USING ((SELECT identity_is_signed()));

    CREATE OR REPLACE FUNCTION schema_compatibility(
        OUT serves_from text, OUT release text, OUT policies_and_grants text
    ) LANGUAGE sql IMMUTABLE SET search_path = pg_catalog, public, pg_temp AS $$
        SELECT '021', '0.3.0', 'cb1b690242f0dfa64fdb100694723ca72e98d05325b3e20b9619c7568dc9903a'
    $$;
"""

NEEDED = """
    DO $$ BEGIN
        IF NOT EXISTS (SELECT FROM pg_roles WHERE rolname = 'blotter_desk') THEN
            RAISE EXCEPTION 'The login blotter_desk is missing: '
                'run sql/roles.sql of this release as a superuser (blotter migrate roles prints it).';
        END IF;
    END $$;
"""

RESTORE = """
    DROP POLICY orders_trader_signed ON orders;
    DROP POLICY orders_execution_signed ON orders;
    DROP POLICY orders_compliance_signed ON orders;
    DROP POLICY fills_trader_signed ON fills;
    DROP POLICY fills_execution_signed ON fills;
    DROP POLICY fills_compliance_signed ON fills;
    DROP POLICY fill_corrections_trader_signed ON fill_corrections;
    DROP POLICY fill_corrections_execution_signed ON fill_corrections;
    DROP POLICY fill_corrections_compliance_signed ON fill_corrections;
    DROP POLICY execution_logs_trader_signed ON execution_logs;
    DROP POLICY execution_logs_execution_signed ON execution_logs;
    DROP POLICY execution_logs_compliance_signed ON execution_logs;
    DROP POLICY ledger_entries_execution_signed ON ledger_entries;
    DROP POLICY ledger_entries_compliance_signed ON ledger_entries;
    DROP POLICY trader_sequences_trader_signed ON trader_sequences;
    DROP POLICY trader_sequences_execution_signed ON trader_sequences;
    DROP POLICY trader_sequences_compliance_signed ON trader_sequences;
    DROP POLICY cancel_timers_trader_signed ON cancel_timers;
    DROP POLICY cancel_timers_execution_signed ON cancel_timers;
    DROP POLICY cancel_timers_compliance_signed ON cancel_timers;
    DROP POLICY audit_accesses_compliance_signed ON audit_accesses;
    DROP POLICY traders_desk_isolation ON traders;
    DROP POLICY orders_desk_isolation ON orders;
    DROP POLICY fills_desk_isolation ON fills;
    DROP POLICY fill_corrections_desk_isolation ON fill_corrections;
    DROP POLICY execution_logs_desk_isolation ON execution_logs;
    DROP POLICY ledger_entries_desk_isolation ON ledger_entries;
    DROP POLICY ledger_head_desk_reads ON ledger_head;
    REVOKE ALL ON traders, orders, fills, fill_corrections, execution_logs, ledger_entries, ledger_head, alembic_version
        FROM blotter_desk;
    REVOKE USAGE ON SCHEMA public FROM blotter_desk;
    DO $$ BEGIN
        EXECUTE format('REVOKE CONNECT ON DATABASE %I FROM blotter_desk', current_database());
    END $$;
    DROP TABLE principals;
    DROP FUNCTION signed_trader, desk_traders, act_as, identity_is_signed, database_condition;
    DROP TABLE identity_keys;
    ALTER TABLE traders DROP COLUMN desk_id;
    DROP TABLE desks;

    CREATE FUNCTION act_as(p_trader_id uuid) RETURNS boolean LANGUAGE plpgsql
    SET search_path = pg_catalog, public, pg_temp AS $$
        DECLARE
            v_disabled_at timestamptz;
            v_known boolean;
        BEGIN
            PERFORM set_config('app.trader_id', coalesce(p_trader_id::text, ''), true);
            IF p_trader_id IS NULL THEN
                RETURN true;
            END IF;
            SELECT disabled_at INTO v_disabled_at FROM traders WHERE id = p_trader_id;
            v_known := FOUND;
            IF v_disabled_at IS NOT NULL AND current_user = 'blotter_trader' THEN
                -- An error, because after a returned value the rest of the message would still run.
                RAISE EXCEPTION 'Refused by traders_are_enabled.' USING
                    ERRCODE = 'check_violation', CONSTRAINT = 'traders_are_enabled', TABLE = 'traders';
            END IF;
            RETURN v_known;
        END $$;
    COMMENT ON FUNCTION act_as IS
        'Set the trader of the transaction; returns false for an unknown trader; refuses a disabled one';
    REVOKE ALL ON FUNCTION act_as FROM PUBLIC;
    GRANT EXECUTE ON FUNCTION act_as TO blotter_trader, blotter_execution, blotter_compliance;

    CREATE OR REPLACE FUNCTION acting_trader() RETURNS uuid LANGUAGE plpgsql STABLE
    SET search_path = pg_catalog, public, pg_temp AS $$
    DECLARE
        v_trader_id text := nullif(current_setting('app.trader_id', true), '');
    BEGIN
        IF v_trader_id IS NULL THEN
            RAISE EXCEPTION 'No trader is named: call act_as() in the same transaction.'
                USING ERRCODE = 'insufficient_privilege';
        END IF;
        RETURN v_trader_id;
    END $$;

    CREATE OR REPLACE FUNCTION lock_sequence() RETURNS bigint LANGUAGE plpgsql AS $$
    DECLARE
        v_trader_id uuid := acting_trader();
        v_last bigint;
    BEGIN
        SELECT coalesce(last_sequence, 0) INTO v_last
        FROM trader_sequences WHERE trader_id = v_trader_id FOR NO KEY UPDATE;
        IF NOT FOUND THEN
            INSERT INTO trader_sequences (trader_id) VALUES (v_trader_id) ON CONFLICT (trader_id) DO NOTHING;
            SELECT coalesce(last_sequence, 0) INTO v_last
            FROM trader_sequences WHERE trader_id = v_trader_id FOR NO KEY UPDATE;
        END IF;
        RETURN v_last;
    END $$;

    CREATE OR REPLACE FUNCTION lock_sequence_at_once() RETURNS bigint LANGUAGE plpgsql AS $$
    DECLARE
        v_trader_id uuid := acting_trader();
        v_last bigint;
    BEGIN
        SELECT coalesce(last_sequence, 0) INTO v_last
        FROM trader_sequences WHERE trader_id = v_trader_id FOR NO KEY UPDATE NOWAIT;
        IF NOT FOUND THEN
            -- The trader's first order may be about to be committed: its transaction has the row.
            INSERT INTO trader_sequences (trader_id) VALUES (v_trader_id) ON CONFLICT (trader_id) DO NOTHING;
            SELECT coalesce(last_sequence, 0) INTO v_last
            FROM trader_sequences WHERE trader_id = v_trader_id FOR NO KEY UPDATE;
        END IF;
        RETURN v_last;
    END $$;

    CREATE OR REPLACE FUNCTION schema_compatibility(
        OUT serves_from text, OUT release text, OUT policies_and_grants text
    ) LANGUAGE sql IMMUTABLE SET search_path = pg_catalog, public, pg_temp AS $$
        SELECT '020', '0.3.0', '82262e2cee2bb72d7e42e57d1bf294e862f7e1d78d45f8e3f9abb66a2f719347'
    $$;
"""


def upgrade() -> None:
    """Create desks, principals, the desk's policies, and act_as with a desk."""
    op.run_sql(NEEDED + LOCK + TABLES + FUNCTIONS + PRIVILEGES)


def downgrade() -> None:
    """Drop them, and restore act_as without a desk."""
    op.run_sql(LOCK + RESTORE)

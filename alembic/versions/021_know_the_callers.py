"""Know the callers: desks, their supervisors' login, and the principals that tokens and certificates name.

- desks: groups of traders. A trader belongs to at most one desk (traders.desk_id).
- blotter_desk: the login of supervisors. It reads orders, fills, logs and ledger entries of the traders of the desk
  that act_as() names, and writes nothing. Its policies compare trader_id with desk_traders(), which a scan of an index
  evaluates once. A subquery in a policy would do the same and is not possible on distributed tables (Citus).
- principals: the subjects of tokens and certificates, and what each may call as. The owner registers them; the service
  reads them as blotter_execution.
- act_as() takes the desk as well.

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
    DROP FUNCTION act_as(uuid);
    CREATE FUNCTION act_as(p_trader_id uuid, p_desk_id uuid DEFAULT NULL) RETURNS boolean LANGUAGE plpgsql
    SET search_path = pg_catalog, public, pg_temp AS $$
    DECLARE
        v_disabled_at timestamptz;
        v_known boolean;
    BEGIN
        PERFORM set_config('app.trader_id', coalesce(p_trader_id::text, ''), true),
            set_config('app.desk_id', coalesce(p_desk_id::text, ''), true);
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

    CREATE FUNCTION desk_traders() RETURNS uuid[] LANGUAGE plpgsql STABLE
    SET search_path = pg_catalog, public, pg_temp AS $$
    BEGIN
        RETURN ARRAY(SELECT id FROM traders WHERE desk_id = nullif(current_setting('app.desk_id', true), '')::uuid);
    END $$;
    COMMENT ON FUNCTION desk_traders IS 'The traders of the desk that act_as() named for the transaction';
"""

PRIVILEGES = """
    DO $$ BEGIN
        EXECUTE format('GRANT CONNECT ON DATABASE %I TO blotter_desk', current_database());
    END $$;
    GRANT USAGE ON SCHEMA public TO blotter_desk;
    GRANT SELECT ON alembic_version TO blotter_desk;
    REVOKE ALL ON FUNCTION act_as, desk_traders FROM PUBLIC;
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
    CREATE POLICY orders_desk_isolation ON orders FOR SELECT TO blotter_desk USING (trader_id = ANY (desk_traders()));
    CREATE POLICY fills_desk_isolation ON fills FOR SELECT TO blotter_desk USING (trader_id = ANY (desk_traders()));
    CREATE POLICY fill_corrections_desk_isolation ON fill_corrections FOR SELECT TO blotter_desk
        USING (trader_id = ANY (desk_traders()));
    CREATE POLICY execution_logs_desk_isolation ON execution_logs FOR SELECT TO blotter_desk
        USING (trader_id = ANY (desk_traders()));
    CREATE POLICY ledger_entries_desk_isolation ON ledger_entries FOR SELECT TO blotter_desk
        USING (trader_id = ANY (desk_traders()));
    CREATE POLICY ledger_head_desk_reads ON ledger_head FOR SELECT TO blotter_desk USING (true);
    GRANT SELECT ON traders, orders, fills, fill_corrections, execution_logs, ledger_entries, ledger_head
        TO blotter_desk;

    CREATE OR REPLACE FUNCTION schema_compatibility(
        OUT serves_from text, OUT release text, OUT policies_and_grants text
    ) LANGUAGE sql IMMUTABLE SET search_path = pg_catalog, public, pg_temp AS $$
        SELECT '021', '0.3.0', 'db019ca5f8dd0317037d1ffa0ff7626c16faac77b746138ce5df1416d58a24ec'
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
    DROP FUNCTION desk_traders, act_as;
    DROP TABLE principals;
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

-- Revokes what only a superuser can revoke, in the database of Blotter. Run once after `blotter migrate upgrade`:
--
--     psql -d blotter -f sql/harden.sql
--
-- Safe to repeat; repeat it after a plain dump and restore. The service works without it and then logs a warning at its
-- start: a managed PostgreSQL may have no role with the privileges that this file needs.

\set ON_ERROR_STOP on

-- Every login may end the backends of its own name, take any advisory lock (the sequencer's election is one) and fill
-- the disk with large objects or messages in the WAL. The logins of Blotter need none of these; only the sequencer
-- needs advisory locks. normalize() cannot be interrupted, and its time grows with the square of its text: its backend
-- cannot be terminated meanwhile.
SELECT format('REVOKE EXECUTE ON FUNCTION pg_catalog.%I(%s) FROM PUBLIC, blotter_trader, blotter_execution, '
              'blotter_compliance, blotter_desk, blotter_sequencer', proname, pg_get_function_identity_arguments(oid))
FROM pg_proc
WHERE pronamespace = 'pg_catalog'::regnamespace
  AND (proname IN ('pg_terminate_backend', 'pg_cancel_backend', 'loread', 'lowrite',
                   'pg_logical_emit_message', 'normalize', 'is_normalized')
       OR proname ~ '^(lo|be_lo)_' OR proname ~ '^pg_(try_)?advisory_')
\gexec

SELECT format('GRANT EXECUTE ON FUNCTION pg_catalog.%I(%s) TO blotter_sequencer',
              proname, pg_get_function_identity_arguments(oid))
FROM pg_proc
WHERE pronamespace = 'pg_catalog'::regnamespace AND proname ~ '^pg_(try_)?advisory_'
\gexec

-- For the function nfkc(), which bounds the length of the text.
GRANT EXECUTE ON FUNCTION pg_catalog.normalize(text, text) TO blotter_owner;

GRANT EXECUTE ON FUNCTION pg_catalog.pg_terminate_backend(integer, bigint), pg_catalog.pg_cancel_backend(integer)
    TO pg_signal_backend;

-- These show a login the statements of all sessions of that login, including the ids of traders. Superusers and members
-- of pg_monitor see all sessions. The sequencer looks for the session that holds its lock, and may: it reads all logs.
-- Its role lets database_condition() see how old the oldest transaction is.
REVOKE EXECUTE ON FUNCTION pg_catalog.pg_stat_get_activity(integer),
    pg_catalog.pg_stat_get_backend_activity(integer)
    FROM PUBLIC, blotter_trader, blotter_execution, blotter_compliance, blotter_desk, blotter_sequencer;
GRANT EXECUTE ON FUNCTION pg_catalog.pg_stat_get_activity(integer), pg_catalog.pg_stat_get_backend_activity(integer)
    TO pg_monitor, pg_read_all_stats;
GRANT EXECUTE ON FUNCTION pg_catalog.pg_stat_get_activity(integer) TO blotter_sequencer;
GRANT pg_read_all_stats TO blotter_writer;
-- Releases before 0.3.0 switched it off.
ALTER ROLE blotter_trader RESET track_activities;

-- A statement may fill the disk with temporary files. The limit applies to each session.
ALTER ROLE blotter_trader SET temp_file_limit = '1GB';
ALTER ROLE blotter_execution SET temp_file_limit = '1GB';
ALTER ROLE blotter_compliance SET temp_file_limit = '1GB';
ALTER ROLE blotter_desk SET temp_file_limit = '1GB';
ALTER ROLE blotter_sequencer SET temp_file_limit = '1GB';

-- A login needs no privilege for DROP OWNED BY itself, which removes the policies that name the login: the service has
-- no access then until they are restored. No login of the service needs statements that create or drop objects. The
-- schema belongs to a superuser, because the function also runs in the sessions of superusers.
CREATE SCHEMA IF NOT EXISTS blotter_hardening;
CREATE OR REPLACE FUNCTION blotter_hardening.refuse_definitions() RETURNS event_trigger LANGUAGE plpgsql
SET search_path = pg_catalog, pg_temp AS $$
BEGIN
    IF session_user IN ('blotter_trader', 'blotter_execution', 'blotter_compliance', 'blotter_desk',
                        'blotter_sequencer') THEN
        RAISE insufficient_privilege USING MESSAGE = format('%s is refused to %s.', tg_tag, session_user);
    END IF;
END $$;
REVOKE EXECUTE ON FUNCTION blotter_hardening.refuse_definitions() FROM PUBLIC;
DROP EVENT TRIGGER IF EXISTS blotter_refuse_definitions;
CREATE EVENT TRIGGER blotter_refuse_definitions ON ddl_command_start
    EXECUTE FUNCTION blotter_hardening.refuse_definitions();

-- Statistics from before revision 016, since which none are kept for these columns.
DELETE FROM pg_statistic USING pg_attribute
WHERE starelid = attrelid AND staattnum = attnum AND attstattarget = 0
  AND attrelid IN (SELECT oid FROM pg_class WHERE relnamespace = 'public'::regnamespace AND relkind = 'r');

-- The logins can connect to every database of the server that grants CONNECT to PUBLIC. On a server of Blotter's own:
--
--     REVOKE CONNECT ON DATABASE postgres, template1 FROM PUBLIC;

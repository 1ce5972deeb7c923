-- The six logins of Blotter, and the role that its writing functions run as. Run once per server as a superuser (or
-- a role with CREATEROLE):
--
--     psql -d postgres -f sql/roles.sql
--     psql -d postgres -c 'CREATE DATABASE blotter OWNER blotter_owner'
--
-- then give each login a password (`\password blotter_trader`, ...) or an entry in pg_hba.conf, and run `blotter migrate
-- upgrade`.
-- Safe to repeat. Every login is NOINHERIT (but the owner, see below), a member of no role, and subject to row level
-- security: no SQL lets one login act as another.

\set ON_ERROR_STOP on

SELECT format('CREATE ROLE %I LOGIN', name)
FROM unnest(ARRAY[
    'blotter_owner',       -- owns the schema and runs migrations; the service never connects as it
    'blotter_trader',      -- enters, replaces and cancels orders, sets the cancel timer; sees one trader's rows
    'blotter_execution',   -- records fills and reports; sees all, writes the rows of the trader it names
    'blotter_compliance',  -- reads everything, writes only that it has read
    'blotter_desk',        -- sees the rows of the traders of one desk, writes nothing
    'blotter_sequencer'    -- builds the ledger
]) AS name
WHERE NOT EXISTS (SELECT FROM pg_roles WHERE rolname = name)
\gexec

-- The functions that write run with its rights. Nobody logs in as it; the owner gives the functions to it.
SELECT 'CREATE ROLE blotter_writer' WHERE NOT EXISTS (SELECT FROM pg_roles WHERE rolname = 'blotter_writer')
\gexec
-- INHERIT is for pg_read_all_stats, which sql/harden.sql grants; it is a member of no other role.
ALTER ROLE blotter_writer NOLOGIN INHERIT NOCREATEDB NOCREATEROLE;
-- Without INHERIT, the policies for the writer do not count for the owner. PostgreSQL 15 cannot separate the two.
SELECT 'GRANT blotter_writer TO blotter_owner'
    || CASE WHEN current_setting('server_version_num')::integer >= 160000
            THEN ' WITH INHERIT FALSE, SET TRUE' ELSE '' END
\gexec

-- The owner of a database is by that a member of pg_database_owner, to whom schema public belongs; before PostgreSQL 16 a
-- NOINHERIT owner could not create a table in it.
ALTER ROLE blotter_owner INHERIT NOCREATEDB NOCREATEROLE;
ALTER ROLE blotter_trader NOINHERIT NOCREATEDB NOCREATEROLE;
ALTER ROLE blotter_execution NOINHERIT NOCREATEDB NOCREATEROLE;
ALTER ROLE blotter_compliance NOINHERIT NOCREATEDB NOCREATEROLE;
ALTER ROLE blotter_desk NOINHERIT NOCREATEDB NOCREATEROLE;
ALTER ROLE blotter_sequencer NOINHERIT NOCREATEDB NOCREATEROLE;

-- What one login can take of max_connections (100 by default, 3 of them reserved): four processes with the default
-- pools, and some that only run commands. Raise it where more processes serve: ALTER ROLE blotter_trader CONNECTION LIMIT 80.
-- A limit that is set already stays.
SELECT format('ALTER ROLE %I CONNECTION LIMIT %s', name, most)
FROM (VALUES ('blotter_owner', 5), ('blotter_trader', 33), ('blotter_execution', 30), ('blotter_compliance', 9),
             ('blotter_desk', 9), ('blotter_sequencer', 9)) AS limits (name, most)
JOIN pg_roles ON rolname = name AND rolconnlimit = -1
\gexec


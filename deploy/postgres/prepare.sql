-- The logins, their passwords from files, and the database. A superuser runs it before each upgrade; safe to repeat.
--
--     psql -d postgres -v folder=FOLDER -f prepare.sql
--
-- FOLDER holds blotter_owner_password and so on, by default /run/secrets.

\set ON_ERROR_STOP on
\if :{?folder} \else \set folder /run/secrets
\endif
\if :{?roles} \else \set roles /etc/blotter/sql/roles.sql
\endif
\i :roles

-- The statements below hold the passwords in clear: keep them out of the server's log.
SET log_statement = 'none';
SET log_duration = off;
SET log_min_duration_statement = -1;
SET log_min_duration_sample = -1;
SET log_transaction_sample_rate = 0;
SET log_min_error_statement = 'panic';
\set password `cat :'folder'/blotter_owner_password`
ALTER ROLE blotter_owner PASSWORD :'password';
\set password `cat :'folder'/blotter_trader_password`
ALTER ROLE blotter_trader PASSWORD :'password';
\set password `cat :'folder'/blotter_execution_password`
ALTER ROLE blotter_execution PASSWORD :'password';
\set password `cat :'folder'/blotter_compliance_password`
ALTER ROLE blotter_compliance PASSWORD :'password';
\set password `cat :'folder'/blotter_desk_password`
ALTER ROLE blotter_desk PASSWORD :'password';
\set password `cat :'folder'/blotter_sequencer_password`
ALTER ROLE blotter_sequencer PASSWORD :'password';
\unset password

SELECT 'CREATE DATABASE blotter OWNER blotter_owner'
WHERE NOT EXISTS (SELECT FROM pg_database WHERE datname = 'blotter')
\gexec

-- Brings an installed pyworker to this version: migrations that are missing, then functions and
-- views. One transaction.
-- Usage: psql -X -v ON_ERROR_STOP=1 -f sql/upgrade.sql DSN

\set pyworker_command upgrade
\ir install.sql

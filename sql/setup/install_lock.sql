-- The lock of installations, and what its transaction is like from there on.
--
-- Runs first, in the one transaction of an install or upgrade: two of them in a database run one
-- after the other.
--
-- Errors: PW089, with DETAIL and HINT: another session has held the lock for 10 s (setting
--   pyworker.install_wait).
-- Locks: the advisory lock 'pyworker install' of this database until commit.

set local search_path = pg_catalog, pg_temp;

do $$
declare
  v_key constant bigint := pg_catalog.hashtext('pyworker install');
  v_holders text;
begin
  perform pg_catalog.set_config('lock_timeout',
      coalesce(nullif(pg_catalog.current_setting('pyworker.install_wait', true), ''), '10s'), true);
  perform pg_catalog.pg_advisory_xact_lock(v_key);
exception
  when lock_not_available then
    select pg_catalog.string_agg(pg_catalog.format('process %s (%s%s, since %s)', l.pid,
          coalesce(a.usename, 'unknown'),
      ', ' || nullif(a.application_name, ''),
        coalesce(a.xact_start, a.backend_start)::timestamptz(0)), ', ')
    into v_holders
    from pg_catalog.pg_locks as l
    left join pg_catalog.pg_stat_activity as a on a.pid = l.pid
    where l.locktype = 'advisory' and l.granted and l.objsubid = 1
      and (l.classid::bigint << 32 | l.objid::bigint) = v_key
      and l.database = (select d.oid from pg_catalog.pg_database as d
          where d.datname = pg_catalog.current_database());
    raise exception using
      errcode = 'PW089',
      message = 'another session holds the lock of installations of this database',
      detail = pg_catalog.format('It is held by %s.',
          coalesce(v_holders, 'a session that has ended meanwhile')),
      hint = 'Where that is no install, upgrade or uninstall, any role may have taken it: end that '
        'session (select '
        'pg_terminate_backend(PID)). Then retry. Nothing was changed.';
end
$$;

-- What follows must mean the same for each role that applies it: no foreign object is found by name
-- (above), no foreign timeout applies, and no session waits behind us for long.
set local statement_timeout = 0;
set local idle_in_transaction_session_timeout = 0;
set local lock_timeout = '30s';
set local client_min_messages = warning;
set local standard_conforming_strings = on;
set local default_tablespace = '';
set local default_table_access_method = heap;

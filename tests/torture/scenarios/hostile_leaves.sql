-- What jobs leave in their session, and what another finds there; after hostile.sql.

-- Leaves something in its session.
create function hostile.leave(what text) returns void
language plpgsql as $$
begin
  insert into hostile.effect (what) values ('leave');
  case what
    when 'advisory lock' then perform pg_advisory_lock(4713);
    when 'advisory lock, shared' then
      perform pg_advisory_lock_shared(4713), pg_advisory_lock_shared(4713);
    when 'temporary table' then create temporary table planted (n integer);
    when 'temporary table that hides' then create temporary table effect (n integer);
    when 'temporary function' then
      create function pg_temp.now() returns timestamptz language sql return 'infinity'::timestamptz;
    when 'setting' then
      perform set_config('work_mem', '13MB', false), set_config('search_path', 'pg_temp', false);
    when 'setting of its own' then perform set_config('hostile.planted', 'secret', false);
    when 'timeouts' then
      perform set_config('statement_timeout', '1', false), set_config('lock_timeout', '1', false);
    when 'read only' then perform set_config('default_transaction_read_only', 'on', false);
    when 'role' then perform set_config('role', 'jobs_producer', false);
    when 'cursor' then execute 'declare planted cursor for select generate_series(1, 10)';
    when 'cursor with hold' then
      execute 'declare planted cursor with hold for select generate_series(1, 10)';
    when 'cursor with hold that fails' then
      execute 'declare planted cursor with hold for '
        'select 1 / (g - 5) from generate_series(1, 10) as g';
    when 'prepared statement' then execute 'prepare planted as select 1';
    when 'prepared statement named as ours' then
      execute 'prepare pyworker_log_000000000 as select 1';
    when 'listen' then execute 'listen planted';
    when 'sequence' then perform nextval('hostile.numbers');
    when 'name' then
      perform set_config('application_name', 'pw 1/1 1', false),
        set_config('pyworker.job', '1/1 1', false);
    when 'notify' then perform pg_notify('planted', 'x');
    when 'deferred constraints' then set constraints all deferred;
  end case;
end $$;
create function hostile.leave_and_fail(what text) returns void
language plpgsql as $$
begin
  perform hostile.leave(what);
  raise exception 'on purpose';
end $$;

-- Says what it found in its session; nothing is what it should find. It looks before it writes: its
-- write must work too.
create function hostile.look() returns text[]
language plpgsql as $$
declare
  v_found text[] := '{}';
begin
  if exists (
    select from pg_catalog.pg_locks as l where l.locktype = 'advisory' and l.pid = pg_backend_pid()
  ) then
    v_found := array_append(v_found, 'advisory lock');
  end if;
  if exists (select from pg_catalog.pg_class as c where c.relnamespace = pg_my_temp_schema())
    or exists (select from pg_catalog.pg_proc as p where p.pronamespace = pg_my_temp_schema()) then
    v_found := array_append(v_found, 'temporary object');
  end if;
  if current_setting('work_mem')
      <> (select s.reset_val from pg_catalog.pg_settings as s where s.name = 'work_mem') || 'kB'
    and pg_size_bytes(current_setting('work_mem')) <> (
      select s.reset_val::bigint * 1024 from pg_catalog.pg_settings as s
      where s.name = 'work_mem')
  then
    v_found := array_append(v_found, 'work_mem');
  end if;
  if current_setting('search_path') ~ 'pg_temp' then
    v_found := array_append(v_found, 'search_path');
  end if;
  if coalesce(current_setting('hostile.planted', true), '') <> '' then
    v_found := array_append(v_found, 'setting of its own');
  end if;
  if current_setting('statement_timeout') <> '0' or current_setting('lock_timeout') <> '0' then
    v_found := array_append(v_found, 'timeouts');
  end if;
  if current_setting('transaction_read_only') <> 'off' then
    v_found := array_append(v_found, 'read only');
  end if;
  if current_user <> session_user then
    v_found := array_append(v_found, 'role');
  end if;
  if exists (select from pg_catalog.pg_cursors as c where c.name = 'planted') then
    v_found := array_append(v_found, 'cursor');
  end if;
  if exists (select from pg_catalog.pg_prepared_statements) then
    v_found := array_append(v_found, 'prepared statement');
  end if;
  if exists (select from pg_listening_channels()) then
    v_found := array_append(v_found, 'channel');
  end if;
  if split_part(current_setting('pyworker.job'), '/', 1)::bigint is distinct from jobs.current_id()
    or jobs.current_id() = 1
  then
    v_found := array_append(v_found, 'name');
  end if;
  begin
    perform currval('hostile.numbers');
    v_found := array_append(v_found, 'sequence');
  exception
    when object_not_in_prerequisite_state then
      null;
  end;
  insert into hostile.effect (what) values ('look');
  return v_found;
end $$;

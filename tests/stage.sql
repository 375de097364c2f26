-- What the tests of execution, concurrency and acceptance run. Applied as app, in a clone of the
-- template.

-- What jobs did, in the transaction that did it: one row per effect.
create table app.ledger (
  n integer,
  job bigint default jobs.current_id(),
  pid integer default pg_backend_pid(),
  xid xid8 default pg_current_xact_id(),
  at timestamptz default clock_timestamp()
);
create sequence app.hits;

create function app.attempt() returns integer
language sql
return split_part(split_part(current_setting('pyworker.job'), '/', 2), ' ', 1)::integer;

create function app.note(n integer) returns integer
language sql begin atomic insert into app.ledger (n) values (n) returning n; end;

create function app.nap(seconds float8, n integer default null) returns void
language plpgsql as $$
begin
  insert into app.ledger (n) values (n);
  perform pg_sleep(seconds);
end $$;

create function app.fail(state text default 'P0001', n integer default null) returns void
language plpgsql as $$
begin
  insert into app.ledger (n) values (n);
  raise exception using errcode = state, message = 'it failed', detail = 'a detail',
    hint = 'a hint', constraint = 'a_constraint';
end $$;

-- Fails so many attempts, then leaves its row.
create function app.stumble(n integer, state text default '40001', times integer default 1)
returns integer
language plpgsql as $$
begin
  insert into app.ledger (n) values (n);
  if app.attempt() <= times then
    raise exception using errcode = state, message = 'not yet';
  end if;
  return n;
end $$;

-- Waits for the advisory lock 1, which a test holds: the job is in the middle of its work for as
-- long as the test likes.
create function app.gate(n integer default null) returns integer
language plpgsql as $$
begin
  insert into app.ledger (n) values (n);
  perform pg_advisory_xact_lock(1);
  return n;
end $$;

-- Counts how many run at once, where everybody sees it at once: in advisory locks.
create function app.crowd() returns integer
language plpgsql as $$
declare
  v_count integer;
begin
  perform pg_advisory_xact_lock_shared(77);
  perform pg_sleep(0.03);
  select count(*) into v_count from pg_locks
  where locktype = 'advisory' and objid = 77 and granted and mode = 'ShareLock'
    and database = (select oid from pg_database where datname = current_database());
  insert into app.ledger (n) values (v_count);
  return v_count;
end $$;

create function app.echo(what jsonb) returns jsonb language sql return what;
create function app.run(what text) returns void language plpgsql as $$ begin execute what; end $$;
create function app.run_and_fail(what text) returns void language plpgsql as $$
begin
  execute what;
  raise exception 'on purpose';
end $$;
create function app.cancel_oneself() returns text
language plpgsql as $$
declare
  v_did text := jobs.cancel(jobs.current_id());
begin
  perform pg_sleep(20);
  return v_did;
end $$;
create function app.retry_oneself() returns text language sql return jobs.retry(jobs.current_id());
create function app.end_oneself(how text) returns void
language plpgsql as $$
begin
  insert into app.ledger (n) values (0);
  execute format('select %I(pg_backend_pid())', how);
  perform pg_sleep(20);
end $$;
create function app.report(done numeric, total numeric, message text) returns void
language plpgsql as $$
begin
  perform jobs.progress(done, total, message);
  perform pg_advisory_xact_lock(1);
end $$;
create function app.say(lines integer, fails boolean default false, message text default 'line')
returns void
language plpgsql as $$
begin
  for i in 1 .. lines loop
    perform jobs.log(message || ' ' || i, 'info', jsonb_build_object('i', i));
  end loop;
  if fails then
    raise exception 'on purpose';
  end if;
end $$;
create function app.series(n integer) returns setof integer
language sql as 'select generate_series(1, n)';
create function app.large(bytes integer) returns text language sql return repeat('x', bytes);

-- Procedures run in child sessions.
create procedure app.two_commits(n integer, secret text default '')
language plpgsql as $$
begin
  insert into app.ledger (n) values (n);
  commit;
  insert into app.ledger (n) values (n + 1);
end $$;
create procedure app.watched(n integer, secret text)
language plpgsql as $$
begin
  insert into app.ledger (n) values (n);
  commit;
  perform pg_advisory_xact_lock(1);
end $$;
create procedure app.break_child()
language plpgsql as $$
begin
  insert into app.ledger (n) values (1);
  raise exception using errcode = '23514', message = 'broken', detail = 'd', hint = 'h',
    constraint = 'c_1', table = 'ledger';
end $$;
create procedure app.say_in_child(lines integer)
language plpgsql as $$
begin
  for i in 1 .. lines loop
    perform jobs.log('child ' || i);
  end loop;
end $$;
create procedure app.chatter(level text, lines integer)
language plpgsql as $$
begin
  for i in 1 .. lines loop
    if level = 'info' then
      raise info 'line % of what nobody reads', i;
    else
      raise notice 'line % of what nobody reads', i;
    end if;
  end loop;
  insert into app.ledger (n) values (lines);
end $$;

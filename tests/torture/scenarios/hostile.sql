-- What the scenarios of hostile jobs run, in a schema of its own. Applied as the administrator, in
-- the database of the jobs.

create schema hostile authorization app;

-- One row for each effect, in the transaction that had it.
create table hostile.effect (
  job_id bigint default jobs.current_id(),
  attempt integer
    default split_part(split_part(current_setting('pyworker.job'), '/', 2), ' ', 1)::integer,
  what text,
  pid integer default pg_backend_pid(),
  xid xid8 default pg_current_xact_id(),
  by_user name default session_user,
  at timestamptz default clock_timestamp()
);
-- Rows with which the scenario steers jobs that run: READ COMMITTED lets them see it.
create table hostile.flag (name text primary key, raised boolean not null default false);
create table hostile.parent (id integer primary key);
create table hostile.orphan (parent integer);
create table hostile.chatty (n integer, padding text);
insert into hostile.chatty select g, repeat('x', 100) from generate_series(1, 2000) as g;
insert into hostile.parent values (1);
create sequence hostile.numbers;
alter table hostile.effect owner to app;
alter table hostile.flag owner to app;
alter table hostile.parent owner to app;
alter table hostile.orphan owner to app;
alter table hostile.chatty owner to app;
alter sequence hostile.numbers owner to app;
grant usage on schema hostile to public;
grant insert on hostile.effect to public;
grant select on hostile.flag to public;

set role app;
alter default privileges for role app revoke execute on functions from public;

create function hostile.innocent(what text default 'innocent') returns void
language sql begin atomic insert into hostile.effect (what) values (what); end;

create function hostile.note_effect(what text) returns void
language sql begin atomic insert into hostile.effect (what) values (what); end;

create function hostile.innocent_for(ms integer) returns void
language plpgsql as $$
begin
  insert into hostile.effect (what) values ('innocent for a while');
  perform pg_sleep(ms / 1000.0);
end $$;

create procedure hostile.innocent_child(ms integer)
language plpgsql as $$
begin
  commit;
  perform pg_sleep(ms / 1000.0);
  insert into hostile.effect (what) values ('innocent in a child');
end $$;

-- Goes on after a cancel or a terminate, for so long or until the flag is raised.
create function hostile.trap_cancel(seconds float8, flag text default null) returns integer
language plpgsql as $$
declare
  v_end timestamptz := clock_timestamp() + seconds * interval '1 second';
  v_trapped integer := 0;
begin
  insert into hostile.effect (what) values ('trap');
  while clock_timestamp() < v_end
    and not coalesce((select f.raised from hostile.flag as f where f.name = flag), false)
  loop
    begin
      perform pg_sleep(0.05);
    exception when query_canceled then
      v_trapped := v_trapped + 1;
    end;
  end loop;
  return v_trapped;
end $$;

create procedure hostile.trap_in_child(seconds float8, flag text)
language plpgsql as $$
begin
  commit;
  perform hostile.trap_cancel(seconds, flag);
end $$;

-- Ends its own backend in one of the ways that its owner may.
create function hostile.end_oneself(how text) returns void
language plpgsql as $$
begin
  insert into hostile.effect (what) values ('self');
  if how = 'fatal' then
    perform set_config('transaction_timeout', '1', false), pg_sleep(5);
  else
    execute format('select %I(pg_backend_pid())', how);
    perform pg_sleep(20);
  end if;
end $$;

create function hostile.sleep(how text) returns void
language plpgsql as $$
begin
  insert into hostile.effect (what) values ('sleep');
  case how
    when 'pg_sleep' then perform pg_sleep(3600);
    when 'series' then perform count(*) from generate_series(1, 10000000000);
    when 'sort' then perform g from generate_series(1, 300000000) as g order by -g limit 1;
    when 'regexp' then
      perform count(*) from generate_series(1, 100000000) as g
      where repeat('ab', 200) ~ ('(a|b|ab)*c' || g);
    when 'lock' then perform pg_advisory_xact_lock(4712);
    when 'row' then perform from hostile.flag where name = 'row' for update;
  end case;
end $$;

create function hostile.flood(level text, lines integer) returns void
language plpgsql as $$
begin
  for i in 1 .. lines loop
    if level = 'info' then
      raise info 'line % of what nobody reads %', i, repeat('.', 100);
    elsif level = 'warning' then
      raise warning 'line % of what nobody reads %', i, repeat('.', 100);
    else
      raise notice 'line % of what nobody reads %', i, repeat('.', 100);
    end if;
  end loop;
  insert into hostile.effect (what) values ('flood');
end $$;

create procedure hostile.flood_in_child(level text, lines integer,
  what text default 'flood in a child')
language plpgsql as $$
begin
  commit;
  perform hostile.flood(level, lines);
  update hostile.effect set what = flood_in_child.what where job_id = jobs.current_id();
end $$;

create function hostile.million() returns setof integer
language plpgsql as $$
begin
  insert into hostile.effect (what) values ('million');
  return query select generate_series(1, 1000000);
end $$;

create function hostile.large(bytes integer) returns text
language plpgsql as $$
begin
  insert into hostile.effect (what) values ('large');
  return repeat('x', bytes);
end $$;

-- Leaves a row without its parent, to be found at the commit.
create function hostile.orphan(parent integer) returns void
language plpgsql as $$
begin
  insert into hostile.effect (what) values ('orphan');
  insert into hostile.orphan values (parent);
end $$;

-- Ends the session that watches it.
create procedure hostile.end_watcher()
language plpgsql as $$
begin
  insert into hostile.effect (what) values ('watcher');
  commit;
  perform pg_terminate_backend(s.pid) from jobs.sessions as s where s.job_id = jobs.current_id();
  perform pg_sleep(0.2);
end $$;

-- The same in a table of its own, of which nobody knew when the chunk began.
create function hostile.orphan_of_oneself() returns void
language plpgsql as $$
begin
  insert into hostile.effect (what) values ('orphan');
  create temporary table mother (id integer primary key) on commit preserve rows;
  create temporary table child (id integer references mother deferrable initially deferred)
  on commit preserve rows;
  insert into child values (1);
end $$;
reset role;

-- SIGKILL to its own backend: the server restarts as if one of its processes had crashed. It takes
-- a superuser's program to do so.
create function hostile.die() returns void
language plpgsql security definer set search_path = pg_catalog, pg_temp as $$
begin
  execute format('copy (select 1) to program %L', 'kill -9 ' || pg_backend_pid());
  perform pg_sleep(60);
end $$;
revoke all on function hostile.die() from public;
grant execute on function hostile.die() to app;
set role app;
create function hostile.poison(armed boolean) returns void
language plpgsql as $$
begin
  insert into hostile.effect (what) values ('poison');
  if armed then
    perform hostile.die();
  end if;
end $$;
create procedure hostile.poison_in_child()
language plpgsql as $$
begin
  insert into hostile.effect (what) values ('poison');
  commit;
  perform hostile.die();
end $$;
reset role;

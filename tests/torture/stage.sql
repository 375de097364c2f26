-- What the jobs of the load do. Applied as the administrator, in the template of the torture
-- databases. Every effect is one row of stage.ledger, written in the transaction that had it. No
-- constraint here is deferrable: that would keep the whole database from sharing transactions among
-- short jobs.

create schema stage;
grant usage, create on schema stage to app, other, apart;

create table stage.ledger (
  tag text not null,
  job_id bigint default jobs.current_id(),
  attempt integer
    default split_part(split_part(current_setting('pyworker.job', true), '/', 2), ' ', 1)::integer,
  xid xid8 default pg_current_xact_id(),
  pid integer default pg_backend_pid(),
  by_current name default current_user,
  by_session name default session_user,
  at timestamptz default clock_timestamp()
);
create table stage.foreground (
  id bigint generated always as identity primary key, at timestamptz default clock_timestamp()
);
create table stage.orders (tag text primary key);
create sequence stage.stumbles;
grant insert, select on stage.ledger to app, other, apart;
grant insert, select on stage.orders to app, other;
grant insert, select on stage.foreground to app;
grant usage on sequence stage.stumbles to app, other;

-- Tables for statements that run at top level: they need their owner.
create table stage.dusty_app (id integer primary key, padding text);
create table stage.dusty_other (id integer primary key, padding text);
create table stage.indexed_app (id integer, padding text);
create table stage.indexed_other (id integer, padding text);
insert into stage.dusty_app select g, repeat('x', 50) from generate_series(1, 2000) as g;
insert into stage.dusty_other select g, repeat('x', 50) from generate_series(1, 2000) as g;
insert into stage.indexed_app select g, repeat('y', 20) from generate_series(1, 2000) as g;
insert into stage.indexed_other select g, repeat('y', 20) from generate_series(1, 2000) as g;
create table stage.rebuilt_app as select * from stage.indexed_app;
create table stage.rebuilt_other as select * from stage.indexed_other;
create index i_rebuilt_app on stage.rebuilt_app (id);
create index i_rebuilt_other on stage.rebuilt_other (id);
alter table stage.rebuilt_app owner to app;
alter table stage.rebuilt_other owner to other;
alter table stage.dusty_app owner to app;
alter table stage.dusty_other owner to other;
alter table stage.indexed_app owner to app;
alter table stage.indexed_other owner to other;

set role app;

-- secret: an argument that must be seen nowhere but by the owner of the job.
create function stage.effect(tag text, secret text default null) returns text
language sql begin atomic
  insert into stage.ledger (tag) values (tag) returning ledger.tag || '/' || ledger.job_id;
end;

create function stage.work(tag text, ms integer, secret text default null) returns integer
language plpgsql as $$
begin
  insert into stage.ledger (tag) values (tag);
  perform pg_sleep(ms / 1000.0);
  return ms;
end $$;

-- Computes for so long: it does not notice that the postmaster has gone.
create function stage.burn(tag text, ms integer) returns integer
language plpgsql as $$
declare
  v_end timestamptz := clock_timestamp() + ms * interval '1 ms';
  v_rounds integer := 0;
begin
  insert into stage.ledger (tag) values (tag);
  while clock_timestamp() < v_end loop
    v_rounds := v_rounds + 1;
  end loop;
  return v_rounds;
end $$;

create function stage.fail(tag text, state text default 'P0001') returns void
language plpgsql as $$
begin
  insert into stage.ledger (tag) values (tag);
  raise exception using errcode = state, message = 'it fails on purpose';
end $$;

-- Fails at its first attempt.
create function stage.stumble(tag text) returns integer
language plpgsql as $$
begin
  insert into stage.ledger (tag) values (tag);
  if split_part(split_part(current_setting('pyworker.job'), '/', 2), ' ', 1)::integer = 1 then
    raise exception using errcode = '40001', message = 'not yet';
  end if;
  return 2;
end $$;

create function stage.setting(tag text, wanted text) returns text
language plpgsql as $$
begin
  insert into stage.ledger (tag) values (tag);
  return current_setting('work_mem');
end $$;

-- What it said stays, whatever is undone.
create function stage.tell(tag text, lines integer) returns void
language plpgsql as $$
begin
  insert into stage.ledger (tag) values (tag);
  perform jobs.log(tag || ' ' || n) from generate_series(1, lines) as n;
  raise exception 'it told all';
end $$;

-- Two transactions: it runs at top level, in a child session.
create procedure stage.two_commits(tag text, secret text default null)
language plpgsql as $$
begin
  insert into stage.ledger (tag) values (tag);
  commit;
  perform pg_sleep(0.02);
  insert into stage.ledger (tag) values (tag);
end $$;

-- Its session ends by FATAL in the middle: what it had committed stays, and it is no success.
create procedure stage.dies(tag text)
language plpgsql as $$
begin
  insert into stage.ledger (tag) values (tag);
  commit;
  perform set_config('transaction_timeout', '20', false), pg_sleep(30);
  insert into stage.ledger (tag) values (tag);
end $$;

create procedure stage.slow_commits(tag text, ms integer)
language plpgsql as $$
begin
  insert into stage.ledger (tag) values (tag);
  commit;
  perform pg_sleep(ms / 1000.0);
  commit;
  insert into stage.ledger (tag) values (tag);
end $$;
reset role;
grant execute on all functions in schema stage to public;

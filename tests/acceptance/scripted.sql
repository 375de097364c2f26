-- A database that does as a test tells it: the functions that the daemon calls, answering from one
-- row.
create schema jobs;
create schema jobs_internal;

create table jobs_internal.script (
  tick jsonb not null default '{}',       -- what a tick answers, but for the counts below
  owners jsonb not null default '[]',     -- owner and session_demand, for each owner
  live int not null default 0,            -- sessions of each owner
  show_up boolean not null default true,  -- launched sessions come alive
  slots int not null default 100,         -- sessions that may still be launched
  tick_sleeps float not null default 0,   -- seconds
  version_fits boolean not null default true,
  asleep boolean not null default false,
  closed int not null default 0,
  ticks bigint not null default 0
);
insert into jobs_internal.script default values;
create table jobs_internal.outbox (
  id bigint generated always as identity primary key, row jsonb not null
);
create table jobs_internal.running (id bigint, task text, started_at timestamptz default now());
create table jobs_internal.health ("check" text, status text, detail text, remedy text);
insert into jobs_internal.health values ('switch', 'ok', 'not paused', null);
create table jobs_internal.unreached (reasons jsonb);
create sequence jobs_internal.number;

create function jobs_internal.login_powers() returns text
language sql begin atomic select null::text; end;

create function jobs_internal.supervisor_open(p_name text, p_host text, p_os_pid int,
  p_version text) returns bigint
language plpgsql as $$
begin
  if not (select version_fits from jobs_internal.script) then
    raise exception using errcode = 'PW091', message = 'schema 7 is not the one', hint = 'Upgrade.';
  end if;
  return nextval('jobs_internal.number');
end $$;

create function jobs_internal.assert_program_fits(p_schema int) returns void
language sql begin atomic select; end;

create function jobs_internal.supervisor_serves(p_supervisor bigint, p_owners text[]) returns void
language sql begin atomic select; end;

create function jobs_internal.supervisor_close(p_supervisor bigint) returns void
language sql begin atomic update jobs_internal.script set closed = closed + 1; end;

create function jobs_internal.supervisor_tick(p_supervisor bigint) returns jsonb
language sql begin atomic
  select pg_sleep(tick_sleeps) from jobs_internal.script where tick_sleeps > 0;
  select tick || jsonb_build_object(
      'outbox', (select count(*) from jobs_internal.outbox),
      'sessions', live,
      'running', (select count(*) from jobs_internal.running),
      'owners', (
        select coalesce(jsonb_agg(o || jsonb_build_object('active_sessions', live)), '[]')
        from jsonb_array_elements(owners) o))
    from jobs_internal.script;
end;

create function jobs_internal.supervisor_send_stop_signals(p_supervisor bigint) returns setof jsonb
language sql begin atomic
  update jobs_internal.script set tick = tick - 'stopping' where tick ? 'stopping'
  returning jsonb_build_object('job_id', 7, 'attempt', 2, 'owner', 'app', 'pid', 99,
    'signal', 'cancel', 'reason', 'timed_out');
end;

create function jobs_internal.supervisor_sleep(p_supervisor bigint, p_asleep boolean)
returns boolean
language sql begin atomic
  update jobs_internal.script set asleep = p_asleep;
  select false;
end;

create function jobs_internal.take_outcomes(p_limit int) returns setof jsonb
language sql begin atomic
  delete from jobs_internal.outbox
    where id in (
      select f.id from jobs_internal.outbox f order by f.id limit p_limit for update skip locked)
    returning outbox.row;
end;

create function jobs_internal.runners() returns setof text
language sql begin atomic select 'app'; end;

create function jobs_internal.note_unreached(p_supervisor bigint, p_reasons jsonb) returns void
language sql begin atomic insert into jobs_internal.unreached values (p_reasons); end;

create function jobs_internal.maintain() returns jsonb
language sql begin atomic select '{"removed": 3, "vacuumed": ["job"]}'::jsonb; end;

create function jobs_internal.launch(p_sessions int, p_linger interval) returns int
language plpgsql security definer as $$
declare
  v_slots int;
begin
  select least(slots, p_sessions) into v_slots from jobs_internal.script;
  if v_slots = 0 then
    raise exception using errcode = '53400', message = 'too many workers';
  end if;
  update jobs_internal.script
    set slots = slots - v_slots, live = live + case when show_up then v_slots else 0 end;
  return v_slots;
end $$;

create view jobs.health as table jobs_internal.health;
create view jobs.queues as
select 'default' as queue, false as paused, 4 as concurrency, 0 as queued;
create view jobs.running as select id, task, started_at from jobs_internal.running;
create view jobs.sessions as select 1 as session where false;
create view jobs.supervisors as select 1 as supervisor where false;

grant usage on schema jobs, jobs_internal to public;
grant all on all tables in schema jobs, jobs_internal to public;
grant all on all sequences in schema jobs_internal to public;

"""Functions that snooze, and short ways to see what became of their jobs."""

from typing import Any

from support import Database

# How often a job has run is kept where no rollback reaches it.
SETUP = """
create sequence app.calls;
create table app.done (n integer, run bigint);
create function app.naps(n integer, times integer default 1, pause interval default '0',
  keep boolean default true, after text default '') returns integer language plpgsql as $$
declare
  v_run bigint := nextval('app.calls');
begin
  insert into app.done (n, run) values (naps.n, v_run);
  if v_run <= times then
    perform jobs.snooze(pause, keep);
  end if;
  if after = 'fails' and v_run <= times then
    raise exception using errcode = '40001', message = 'not now';
  elsif after = 'waits' then
    perform app.gate();
  elsif after = 'twice' and v_run <= times then
    perform jobs.snooze('1 hour', false);
    perform jobs.snooze('0', true);
  elsif after = 'undone' then
    begin
      perform jobs.snooze('1 hour');
      raise exception 'back';
    exception when raise_exception then
      null;
    end;
  end if;
  return n;
end $$;
create table app.state (n integer primary key, runs integer not null default 1);
-- It comes back until its own row says that it has run so often.
create function app.several(n integer, times integer, keep boolean default true) returns integer
language plpgsql as $$
declare
  v_runs integer;
begin
  insert into app.state as s (n) values (several.n)
  on conflict on constraint state_pkey do update set runs = s.runs + 1
  returning s.runs into v_runs;
  if v_runs < times then
    perform jobs.snooze('0', keep);
  end if;
  return v_runs;
end $$;
create procedure app.nap_in_call() language plpgsql as $$
begin
  perform jobs.snooze('1 s');
end $$;
"""


def done(database: Database) -> list[int]:
    return [row[0] for row in database.run("select run from app.done order by run")]


def job_row(database: Database, job: int) -> dict[str, Any]:
    row = database.record(
        "select state, attempt, snoozes, error, result, unique_key from jobs.job where id = %s",
        [job],
    )
    assert row["error"] is None or row["state"] != "scheduled", row
    return row

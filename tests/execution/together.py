"""Jobs that are called by one statement, and functions of all kinds for that."""

from typing import Any

from stage import know_as_short, put_many
from support import Database

PROOF = 40  # jobs of each function, of which 20 in a row are asked for


SETUP = """
create table app.fact (n integer);
create function app.facts() returns bigint language sql stable
begin atomic select count(*) from app.fact; end;

-- Whether the caller runs with others by one statement.
create function app.is_together(stack text) returns boolean language sql immutable
return position('run_together' in stack) > 0;
create table app.ran (n integer, together boolean, job bigint default jobs.current_id());
create function app.one(n integer, does text default '') returns integer language plpgsql as $$
declare
  v_stack text;
begin
  get diagnostics v_stack = pg_context;
  insert into app.ran (n, together) values (one.n, app.is_together(v_stack));
  if does = 'fails' then raise exception 'on purpose'; end if;
  if does = 'fails among others' and app.is_together(v_stack) then
    perform nextval('app.hits');
    raise exception 'not with others';
  end if;
  return n;
end $$;
create function app.two(n integer) returns integer language plpgsql
as $$ begin return app.one(n); end $$;

create function app.note_stack() returns void language plpgsql as $$
declare
  v_stack text;
begin
  get diagnostics v_stack = pg_context;
  insert into app.ran (n, together) values (1, app.is_together(v_stack));
end $$;
create function app.waits(n integer, waits boolean) returns integer language plpgsql as $$ begin
  insert into app.ledger (n) values (waits.n);
  if waits then perform pg_advisory_xact_lock(1); end if;
  return n;
end $$;

create function app.reads_stable() returns bigint language sql stable
begin atomic select count(*) from app.fact; end;
create function app.is_inlined() returns bigint language sql volatile return app.facts();
create function app.has_default(n bigint default app.facts()) returns bigint
language plpgsql volatile as $$ begin return n; end $$;
create domain app.few as integer check (value + app.facts() > 1);
create function app.takes_domain(n app.few) returns bigint language plpgsql volatile
as $$ begin return (select count(*) from app.fact); end $$;
create function app.calls_once() returns bigint language plpgsql immutable
as $$ begin return nextval('app.hits'); end $$;
create function app.calls_stable() returns bigint language plpgsql volatile
as $$ begin return app.facts(); end $$;
create function app.defines() returns bigint
language sql volatile security definer return app.facts();
"""


XML = {
    "query": "select count(*) from app.fact",
    "nulls": False,
    "tableforest": False,
    "targetns": "",
}


def prove(database: Database, task: str, args: list[dict[str, Any]]) -> None:
    """Have a function known to be short."""
    put_many(database, task, args)
    database.drain()
    know_as_short(database)


def put_proved(
    database: Database, task: str, args: list[dict[str, Any]], **options: object
) -> list[int]:
    """Enqueue jobs that prove a function, and then some that share one chunk."""
    proof = [dict(args[0]) for _ in range(PROOF)]
    for one in proof:
        if "does" in one:
            one.update(n=-1, does="")
    put_many(database, task, proof)
    return put_many(database, task, args, **options)


def together(database: Database) -> int:
    """Count the jobs that ran with others by one statement, and whose effect is there."""
    return int(database.value("select count(*) from app.ran where together and n >= 0"))


def in_order(database: Database) -> list[int]:
    """List the effects in the order in which they were written."""
    return [row[0] for row in database.run("select n from app.ran where n >= 0 order by ctid")]

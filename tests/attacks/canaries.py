"""Canaries that are put into everything of a job, and where they may be seen."""

from dataclasses import dataclass

from psycopg.types.json import Jsonb
from stage import put, put_sql
from support import LOGINS, Database, sqlstate_of

PEEK = """
create function SCHEMA.peek(t text) returns boolean language plpgsql cost 0.0000001 as
$$ begin raise notice 'seen %', t; return true; end $$;
create function SCHEMA.peek_two(t text, u text) returns boolean language plpgsql cost 0.0000001 as
$$ begin raise notice 'seen %', t; return true; end $$;
create operator SCHEMA.=== (function = SCHEMA.peek_two, leftarg = text, rightarg = text);
"""


KINDS = (
    *(
        "arg",
        "childarg",
        "pubarg",
        "result",
        "childresult",
        "statement",
        "donewhen",
        "rollback",
        "setting",
        "note",
    ),
    *("error", "detail", "hint", "log", "childlog", "progress", "key", "childerror"),
)


#: What an operator may see of others' jobs, to tell what is wrong with them. Keys are names.
OPERATORS = {"error", "childerror", "hint", "note", "log", "childlog", "progress", "key"}


#: What may be in the supervisor's log: the message of an error, its hint and what a person wrote
#: beside the job.
DAEMONS = {"error", "childerror", "hint", "note"}


# The source of functions is public, and some of it stands in pg_stats: so no canary stands in it as
# a whole.
THINGS = """
create function app.hold(a text) returns text language plpgsql as $$
begin
  perform jobs.log('s3' || 'cretlogs3cret',
    fields => jsonb_build_object('x', 's3' || 'cretlogs3cret'));
  perform jobs.progress(1, 2, 's3' || 'cretprogresss3cret');
  perform pg_advisory_xact_lock(1);
  return 's3' || 'cretresults3cret';
end $$;
create procedure app.hold_child(a text) language plpgsql as $$
begin
  perform jobs.log('s3' || 'cretchildlogs3cret');
  commit;
  perform pg_advisory_xact_lock(1);
end $$;
create function app.lose(a text) returns text language plpgsql as $$
begin
  raise exception using message = 's3' || 'creterrors3cret', detail = 's3' || 'cretdetails3cret',
    hint = 's3' || 'crethints3cret';
end $$;
create procedure app.lose_child(a text) language plpgsql as $$
begin
  commit;
  raise exception using message = 's3' || 'cretchilderrors3cret';
end $$;
create function app.public(a text) returns text language sql return 's3' || 'cretresults3cret';
"""


VIEWS = "select viewname::text from pg_views where schemaname = 'jobs' order by 1"


#: Whom views and statistics may tell what: nobody else anything.
#: Who enqueued a published job knows its arguments.
MAY = {"operator": OPERATORS, "reader": {"key"}, "other": {"pubarg"}}


OTHERS = tuple(role for role in LOGINS if role != "app")


def found_in(text: str) -> set[str]:
    return {kind for kind in KINDS if f"s3cret{kind}s3cret" in text}


def make_jobs(database: Database) -> list[int]:
    note = {"x": "s3cretnotes3cret"}
    given = {
        "note": note,
        "settings": {"my.own": "s3cretsettings3cret"},
        "max_attempts": 1,
    }
    jobs = [
        put(database, "app.hold", {"a": "s3cretargs3cret"}, **given),
        put(database, "app.hold_child", {"a": "s3cretchildargs3cret"}, note=note, max_attempts=1),
        put(database, "app.lose", {"a": "s3cretargs3cret"}, **given),
        put(database, "app.lose_child", {"a": "s3cretchildargs3cret"}, note=note, max_attempts=1),
        put_sql(
            database,
            "select 's3cretstatements3cret'",
            rollback="select 's3cretrollbacks3cret'",
            done_when="'s3cretdonewhens3cret' <> ''",
        ),
        put(
            database,
            "app.lose",
            {"a": "s3cretargs3cret"},
            run_at="2100-01-01",
            unique_key="s3cretkeys3cret",
        ),
    ]
    found = (
        database.line("other")
        .execute(
            "select jobs.enqueue_published('app.public', %s)", [Jsonb({"a": "s3cretpubargs3cret"})]
        )
        .fetchone()
    )
    assert found
    return [*jobs, found[0]]


def all_seen(database: Database) -> dict[str, dict[str, str]]:
    """All that each role can read: of views, and of the server's statistics."""
    seen: dict[str, dict[str, str]] = {}
    for role in LOGINS:
        mine = seen[role] = {}
        for (view,) in database.admin(VIEWS):
            call = f"select coalesce(string_agg(v::text, e'\\n'), '') from jobs.{view} as v"
            refused = sqlstate_of(lambda call=call, role=role: database.run(call, role=role))
            assert refused in (None, "42501")
            if not refused:
                mine[view] = str(database.value(call, role=role))
        for view in (
            "pg_stat_activity",
            "pg_stat_statements",
            "pg_stats",
            "pg_prepared_statements",
            "pg_cursors",
        ):
            mine[view] = str(database.run(f"select * from {view}", role=role))
    return seen


@dataclass(frozen=True, kw_only=True)
class Kept:
    """What was to be seen, and where."""

    database: Database
    jobs: list[int]
    running: dict[str, dict[str, str]]
    over: dict[str, dict[str, str]]
    server_log: str
    daemon_log: str

"""Every function of ours is pinned, owned, closed to PUBLIC and explained."""

import re

from support import Database

PINNED = "search_path=pg_catalog, pg_temp"

#: Functions without a path of their own, and why.
UNPINNED = {
    # What a caller names and passes is looked up and cast with the caller's path and rights.
    "jobs.enqueue": "resolves and casts for the caller",
    "jobs.enqueue_many": "resolves and casts for the caller",
    "jobs.forget": "resolves and casts for the caller",
    "jobs.publish": "looks a name up for the caller",
    "jobs.enqueue_sql": "tries settings for the caller",
    "jobs.enqueue_steps": "tries settings for the caller",
    "jobs_internal.facts_of": "looks names up with the owner's path",
    "jobs_internal.facts_in_transaction": "looks names up with the owner's path",
    "jobs.schedule": "looks names up with the caller's path",
    "jobs.schedule_sql": "keeps the caller's path",
    "jobs.import_schedules": "calls jobs.schedule_sql, which keeps the caller's path",
    "jobs_internal.try_import": "calls jobs.schedule_sql, which keeps the caller's path",
    "jobs.create_batch": "resolves and casts for the caller",
    "jobs_internal.try_schedule_settings": "tries settings for the caller",
    "jobs_internal.note_way_back": "looks names up with the owner's path",
    "jobs_internal.note_before": "commits",
    "jobs.rehearse": "looks names up for the caller",
    "jobs_internal.run_under": "runs the statement under the path that it is given",
    "jobs_internal.ask_under": "runs the condition under the path that it is given",
    "jobs.plan": "looks names up for the caller",
    "jobs_internal.plan_one": "looks names up for the caller",
    "jobs_internal.look_up_for_plan": "looks names up for the caller",
    "jobs.not_null_steps": "looks names up for the caller",
    "jobs.constraint_steps": "looks names up for the caller",
    "jobs.unique_steps": "looks a name up for the caller",
    "jobs.replace_index_steps": "looks a name up for the caller",
    "jobs_internal.recipe_relation": "looks a name up for the caller",
    "jobs_internal.functions_by_name": "looks a name up for the caller",
    "jobs_internal.type_of": "looks a name up for the caller",
    "jobs_internal.signature_types": "looks names up for the caller",
    "jobs_internal.resolve": "looks a name up for the caller",
    "jobs_internal.canonical": "casts for the caller",
    "jobs_internal.canonical_many": "casts for the caller",
    "jobs_internal.try_settings": "tries settings for the caller",
    "jobs_internal.argument": "casts for the owner of the job",
    "jobs_internal.is_state": "a CHECK, for each row that is written: every name in it is full",
    "jobs_internal.callers_path": "tells the caller's path",
    "jobs_internal.found_by": "looks names up for the owner of the job",
    "jobs_internal.first_skipped_table": "looks a name up for the owner of the job",
    "jobs_internal.note_identity": "sets the owner's path for that look",
    "jobs_internal.ask": "asks what the owner gave, with the path of the statement",
    # A procedure that commits cannot carry a setting.
    "jobs.await": "commits",
    "jobs_internal.work": "commits",
    "jobs_internal.open_worker": "commits",
    "jobs_internal.claim_work": "a step of work, which closes the path; for each job alone",
    "jobs_internal.begin_claim": "a step of work, which closes the path; for each job alone",
    "jobs_internal.run_stats_of": "a step of work, which closes the path; for each job alone",
    "jobs_internal.wait_for_work": "commits",
    "jobs_internal.wait_for_more": "commits",
    "jobs_internal.work_alone": "commits",
    "jobs_internal.work_chunk": "commits",
    "jobs_internal.write_end": "commits",
    "jobs_internal.write_end_later": "commits",
    "jobs_internal.run_child": "commits",
    "jobs_internal.measure_operation": "commits",
    "jobs_internal.measure_job": "commits; every name in it is full",
    "jobs_internal.choose_queries": "plans the owner's queries with the owner's path",
    "jobs_internal.measure_query": "runs the owner's queries with the owner's path",
    "jobs_internal.find_lost_child": "a step of run_child",
    "jobs_internal.note_started_child": "commits",
    "jobs_internal.watch_child": "commits",
    "jobs_internal.stop_job": "commits",
    "jobs_internal.run_top_level": "commits",
    "jobs_internal.clear_leftover": "commits",
    "jobs_internal.wait_for_old_transactions": "commits",
    "jobs_internal.nap_before_start": "commits",
    "jobs_internal.reset_session": "resets the session, its path with it",
    "jobs_internal.run_in_savepoint": "runs the job with the owner's path",
    "jobs_internal.run_without_savepoint": "runs the job with the owner's path",
    "jobs_internal.run_together": "runs the jobs with the owner's path",
    "jobs_internal.begin_in_a_row": "for each job; sets the owner's path; every name in it is full",
    "jobs_internal.end_in_a_row": "resets the session, its path with it",
    "jobs_internal.run_chunk": "runs the jobs with the owner's path",
    "jobs_internal.run_alone": "runs the job with the owner's path",
    "jobs_internal.begin_attempt": "for each job; every name in it is full",
    "jobs_internal.run_call": "runs the job with the owner's path",
    "jobs_internal.run_sql": "runs the statement with the owner's path",
    "jobs_internal.look_up": "looks names up with the owner's path",
    "jobs_internal.note_object": "looks names up with the owner's path",
    "jobs_internal.objects_of": "looks names up with the owner's path",
    "jobs_internal.set_lock_timeout": "within a job; every name in it is full",
    "jobs_internal.end_of_attempt": "resets the session, its path with it",
    "jobs_internal.is_gated": "bound when it is made; becomes a part of the query that calls it",
    "jobs_internal.run_mode": "bound when it is made; becomes a part of the query that calls it",
    "jobs_internal.waited": "bound when it is made; becomes a part of the query that calls it",
    "jobs_internal.run_statement": "runs the statement with the owner's path",
    "jobs_internal.run_explain": "runs the statement with the owner's path",
    # Steps of the worker, in the owner's own session.
    "jobs_internal.start_child": "the child inherits the owner's path",
    "jobs_internal.prepare_child": "the child inherits the owner's path",
    "jobs_internal.end_before_start": "asks what the owner gave, with the path of the statement",
    "jobs_internal.await_child": "the owner's own session",
    "jobs_internal.child_result": "resets the session, its path with it",
    "jobs_internal.child_error": "resets the session, its path with it",
    "jobs_internal.child_verdict": "resets the session, its path with it",
    "jobs_internal.launch_child": "the child inherits the owner's path",
    "jobs_internal.wait_child": "the owner's own session",
    "jobs_internal.child_outcome": "the owner's own session",
    "jobs_internal.detach_child": "the owner's own session",
    "jobs_internal.launch_call": "the child inherits the owner's path",
    "jobs_internal.read_call": "the owner's own session",
}


#: Functions that catch errors, and why exit_on_error, by which the server ends a session at each
#: error, caught or not, does not matter there.
CATCHING = {
    **dict.fromkeys(
        ("jobs_internal.assert_size", "jobs_internal.canonical", "jobs_internal.canonical_many"),
        "catches only to say better why the call fails",
    ),
    "jobs.await": "switches it off until its first commit",
    "jobs_internal.statement_of_steps": "catches nothing: it writes a job that does",
    # The baseline of a worker session says off.
    **dict.fromkeys(
        (
            *("jobs.log", "jobs.progress", "jobs_internal.claim", "jobs_internal.clear_leftover"),
            "jobs_internal.nap_before_start",
            "jobs_internal.note_before",
            "jobs_internal.run_top_level",
            *(
                *(
                    "jobs_internal.run_child",
                    "jobs_internal.measure_operation",
                    "jobs_internal.start_child",
                    "jobs_internal.find_lost_child",
                ),
                *("jobs_internal.note_started_child", "jobs_internal.watch_child"),
                *("jobs_internal.child_error", "jobs_internal.child_verdict"),
                *(
                    "jobs_internal.run_chunk",
                    "jobs_internal.run_alone",
                    "jobs_internal.run_in_savepoint",
                ),
                *(
                    "jobs_internal.end_of_attempt",
                    "jobs_internal.write_end",
                    "jobs_internal.write_end_later",
                ),
                *("jobs_internal.wait_for_work", "jobs_internal.wait_for_more"),
            ),
            *(
                "jobs_internal.find_scan_start",
                "jobs_internal.why_stopped",
                "jobs_internal.read_call",
            ),
            *("jobs_internal.note_identity", "jobs_internal.first_skipped_table"),
            "jobs_internal.stopped_results",
        ),
        "the worker's own session",
    ),
}
#: What supervisors call, directly or not, and the owner's mending.
SUPERVISORS = {
    "jobs_internal." + name
    for name in (
        *(
            "chunk_of",
            "dispatch",
            "do_part",
            "drop_buckets",
            "find_functions",
            "repair_clock_step",
            "reports_its_job",
            "launch_upkeep",
            "leave_sessions",
        ),
        *(
            "make_buckets",
            "make_lanes",
            "make_lane_or_note",
            "repair_lanes",
            "note_operations",
            "note_overdue",
            "release",
            "rescue",
            "rescue_one",
        ),
        *(
            "set_lane_idle",
            "signal",
            "reclaim_unstarted",
            "remove_dropped_queues",
            "session_demand",
        ),
        "count_queued",
    )
}


def test_functions_that_catch_errors_live_with_exit_on_error(shared: Database) -> None:
    """A session with exit_on_error ends at an error that we catch: every door that does so switches
    it off.
    """
    catching = {
        name
        for (name,) in shared.admin(
            "select n.nspname || '.' || p.proname from pg_proc p"
            " join pg_namespace n on n.oid = p.pronamespace"
            " where n.nspname in ('jobs', 'jobs_internal') and p.prosrc ~ '\\mexception\\s+when\\M'"
            " and not coalesce('exit_on_error=off' = any (p.proconfig), false)"
        )
    }

    assert catching - set(CATCHING) - SUPERVISORS == set()


def test_search_path(shared: Database) -> None:
    """Every function pins its search_path, except those listed here with a reason."""
    unpinned = {
        name
        for (name,) in shared.admin(
            "select distinct n.nspname || '.' || p.proname from pg_proc p"
            " join pg_namespace n on n.oid = p.pronamespace"
            " where n.nspname in ('jobs', 'jobs_internal')"
            " and not coalesce(%s = any (p.proconfig), false)",
            [PINNED],
        )
    }

    assert unpinned - set(UNPINNED) == set()


def test_unpinned_functions_are_invoker(shared: Database) -> None:
    """No SECURITY DEFINER function is without a pinned path, and no listed exception is one."""
    definer = shared.admin(
        "select p.oid::regprocedure::text, p.proconfig from pg_proc p"
        " join pg_namespace n on n.oid = p.pronamespace"
        " where n.nspname in ('jobs', 'jobs_internal') and p.prosecdef"
    )

    assert definer != []
    assert [row for row in definer if PINNED not in (row[1] or [])] == []
    assert [row for row in definer if re.sub(r"\(.*", "", row[0]) in UNPINNED] == []


def test_owner(shared: Database) -> None:
    """Every object of both schemas belongs to jobs_owner, who cannot log in and is no superuser."""
    owners = shared.admin(
        """select distinct o.owner::regrole::text from (
        select proowner as owner, pronamespace as n from pg_proc
        union all select relowner, relnamespace from pg_class
        union all select typowner, typnamespace from pg_type
        union all select oprowner, oprnamespace from pg_operator
        union all select nspowner, oid from pg_namespace) as o
        where o.n in ('jobs'::regnamespace, 'jobs_internal'::regnamespace)"""
    )
    role = shared.admin(
        "select rolcanlogin, rolsuper, rolcreaterole, rolcreatedb, rolbypassrls, rolreplication"
        " from pg_roles"
        " where rolname = 'jobs_owner'"
    )

    assert owners == [("jobs_owner",)]
    assert role == [(False,) * 6]


def test_closed_to_public(shared: Database) -> None:
    """PUBLIC may execute no function, use neither schema, and touch no table."""
    found = shared.admin(
        """select 'function ' || p.oid::regprocedure from pg_proc p,
        aclexplode(coalesce(p.proacl, acldefault('f', p.proowner))) a
        where p.pronamespace in ('jobs'::regnamespace, 'jobs_internal'::regnamespace)
          and a.grantee = 0
        union all
        select 'relation ' || c.oid::regclass from pg_class c, aclexplode(c.relacl) a
        where c.relnamespace in ('jobs'::regnamespace, 'jobs_internal'::regnamespace)
          and a.grantee = 0
        union all
        select 'schema ' || n.nspname from pg_namespace n, aclexplode(n.nspacl) a
        where n.nspname in ('jobs', 'jobs_internal') and a.grantee = 0"""
    )

    assert found == []


def test_new_functions_are_closed_too(shared: Database) -> None:
    """A function that is added to a schema of ours is closed to PUBLIC from its first moment."""
    shared.admin(
        "set role jobs_owner; create function jobs.added() returns int language sql return 1;"
        " create function jobs_internal.added() returns int language sql return 1; reset role"
    )
    allowed = shared.admin(
        "select has_function_privilege('nobody', 'jobs.added()', 'execute'),"
        " has_function_privilege('nobody', 'jobs_internal.added()', 'execute')"
    )
    shared.admin("drop function jobs.added(), jobs_internal.added()")

    assert allowed == [(False, False)]


def test_comments(shared: Database) -> None:
    """Every public function has a comment, as has every table, view and column, role and schema."""
    missing = shared.admin(
        """select 'function ' || p.oid::regprocedure from pg_proc p
        where p.pronamespace = 'jobs'::regnamespace
        and coalesce(obj_description(p.oid, 'pg_proc'), '') = ''
        union all
        select 'relation ' || c.oid::regclass from pg_class c
        where c.relnamespace in ('jobs'::regnamespace, 'jobs_internal'::regnamespace)
        and c.relkind in ('r', 'v', 'p', 'm')
        and coalesce(obj_description(c.oid, 'pg_class'), '') = ''
        union all
        select 'column ' || c.oid::regclass || '.' || a.attname
        from pg_class c join pg_attribute a on a.attrelid = c.oid
        where c.relnamespace in ('jobs'::regnamespace, 'jobs_internal'::regnamespace)
        and c.relkind in ('r', 'v', 'p', 'm')
        and a.attnum > 0 and not a.attisdropped
        and coalesce(col_description(c.oid, a.attnum), '') = ''
        union all
        select 'role ' || rolname from pg_roles
        where rolname ~ '^jobs_' and coalesce(shobj_description(oid, 'pg_authid'), '') = ''
        union all
        select 'schema ' || nspname from pg_namespace
        where nspname in ('jobs', 'jobs_internal')
          and coalesce(obj_description(oid, 'pg_namespace'), '') = ''"""
    )

    assert missing == []


def test_only_public_things_in_jobs(shared: Database) -> None:
    """Schema jobs holds functions and views only; every name in it is plain lower case."""
    kinds = shared.admin(
        "select distinct relkind from pg_class where relnamespace = 'jobs'::regnamespace"
    )
    odd = shared.admin(
        "select proname from pg_proc where pronamespace = 'jobs'::regnamespace"
        " and proname !~ '^[a-z]+(_[a-z]+)*$'"
    )

    assert kinds == [("v",)]
    assert odd == []


def test_what_we_say_fits_every_encoding(shared: Database) -> None:
    """A client with another encoding cannot read a row in which a word of ours is missing
    from it.
    """
    said = shared.admin(
        "select p.oid::regprocedure::text, pg_get_functiondef(p.oid)"
        " || coalesce(obj_description(p.oid), '')"
        " from pg_proc as p where p.pronamespace = any ('{jobs, jobs_internal}'::regnamespace[])"
        " union all"
        " select c.oid::regclass::text, coalesce(pg_get_viewdef(c.oid),"
        " '') || coalesce(obj_description(c.oid), '')"
        " || coalesce((select string_agg(d.description, '') from pg_description as d"
        " where d.objoid = c.oid), '')"
        " from pg_class as c where c.relkind in ('v', 'r')"
        " and c.relnamespace = any ('{jobs, jobs_internal}'::regnamespace[])"
    )
    assert [name for name, text in said if not text.isascii()] == []

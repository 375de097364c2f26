"""Every function of ours is pinned, owned, closed to PUBLIC and explained."""

import re

from support import Database

from .exceptions import CATCHING, PINNED, SUPERVISORS, UNPINNED


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

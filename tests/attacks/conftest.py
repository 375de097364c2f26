"""The databases of this tier hold what stage.sql makes, and a vault: app attacks,
other is its victim.
"""

from collections.abc import Iterator

import pytest
from databases import clone, drop, installed
from kit.daemon import supervise  # noqa: F401  a fixture of this tier too
from kit.server import private_server
from stage import staged
from support import LOGINS, Database, Server

from .ground import send_home

#: Everybody may write into the vault but app, the attacker: a row in it is the proof that something
#: of app's ran as somebody else. app.witness is where an attack says as whom it ran.
VAULT = """
create schema vault;
grant usage on schema vault to public;
create table vault.canary (
  what text, who text default current_user, login text default session_user);
"""
ATTACKER = """
create table app.witness (what text, who text default current_user, login text default session_user,
  job bigint default jobs.current_id(), pid integer default pg_backend_pid());
-- Who it is by now, and whether it has come further than app.
create function app.strike(what text) returns void
language plpgsql as $$
begin
  insert into app.witness (what) values (what);
  begin
    insert into vault.canary (what) values (what);
  exception when insufficient_privilege then
    null;
  end;
end $$;
-- Tries something, and says what came of it.
create function app.attack(what text, name text default 'attack') returns text
language plpgsql as $$
declare
  v_code text := 'done';
begin
  begin
    execute what;
  exception when others then
    v_code := sqlstate;
  end;
  perform app.strike(name);
  return v_code;
end $$;
"""
VICTIM = """
create table other.ledger (n integer, by text default current_user);
create function other.work(n integer default 1) returns integer
language plpgsql as $$ begin insert into other.ledger (n) values (n); return n; end $$;
create function other.gate(n integer default 1) returns integer
language plpgsql as $$
begin
  insert into other.ledger (n) values (n);
  perform pg_advisory_xact_lock(1);
  return n;
end $$;
create function other.closed() returns void language sql as
$$ insert into other.ledger (n) values (666) $$;
revoke execute on function other.closed() from public;
"""


@pytest.fixture(scope="session")
def template(server: Server, template: str) -> Iterator[str]:
    """The template of this tier."""
    with staged(server, template, "attacks") as name:
        with server.connect(database=name) as connection:
            connection.execute(VAULT.encode())
            for role in (*LOGINS, "jobs_owner", "jobs_operator", "jobs_supervisor"):
                if role != "app":
                    connection.execute(f"grant insert on vault.canary to {role}".encode())
        with server.connect("app", name) as connection:
            connection.execute(ATTACKER.encode())
        with server.connect("other", name) as connection:
            connection.execute(VICTIM.encode())
        yield name


@pytest.fixture
def watched(database: Database) -> Iterator[Database]:
    """A database of the test's own for a supervisor; sessions that linger for more work are sent
    home at the end.
    """
    yield database
    send_home(database)


@pytest.fixture(scope="session")
def own_server() -> Iterator[Server]:
    """A private server of this tier's own, with the settings that it comes with: to be filled,
    read and restarted.
    """
    with private_server("attacks") as private:
        yield Server(conninfo=private.dsn("postgres", "postgres"), private=private)


@pytest.fixture(scope="session")
def own_template(own_server: Server) -> Iterator[str]:
    """The template of this tier, on the server of its own."""
    with installed(own_server) as bare, staged(own_server, bare, "attacks") as name:
        yield name


@pytest.fixture
def own(own_server: Server, own_template: str) -> Iterator[Database]:
    """A database of the test's own on the server of this tier."""
    made = clone(own_server, own_template, "own")
    yield made
    send_home(made)
    drop(made)

"""jobs.enqueue_sql with anything, and our lexer beside the server's own."""

from hypothesis import example, given
from support import Database

from . import aftermath
from .calls import fuzz
from .catalog import FUZZED
from .conftest import Callers
from .statements import ODD_STATEMENTS, SOUP
from .values import Value, either

SEVERAL = "cannot insert multiple commands into a prepared statement"


def test_anything(database: Database, caller: Callers) -> None:
    """Each text is refused by name or stored; what is stored ends, and takes no session with it."""
    call = caller("enqueue_sql")

    @fuzz(700)
    @given(FUZZED["enqueue_sql"].arguments())
    def one(arguments: dict[str, Value]) -> None:
        call(arguments)

    one()
    aftermath.run_all(database)
    aftermath.assert_all_well(database, internal_errors=("XX000",))


def test_each_odd_statement(database: Database, caller: Callers) -> None:
    """Each of the known odd ones alone, without options that would refuse it first."""
    call = caller("enqueue_sql")
    accepted = sum(call({"statement": statement}).accepted for statement in ODD_STATEMENTS)

    assert accepted > 50
    aftermath.run_all(database)
    aftermath.assert_all_well(database, internal_errors=("XX000",))


def test_agrees_with_the_server(database: Database) -> None:
    """What the server takes for one statement is one to us, and what it takes for several
    never is.
    """
    server = database.connect()

    def says(text: str) -> tuple[bool | None, str]:
        """Ask the server to parse the text: True one statement, False several,
        None a syntax error.
        """
        result = server.pgconn.prepare(b"", text.encode())
        state, message = result.error_field(67), result.error_message.decode()
        if SEVERAL in message:
            return False, message
        return (None if state == b"42601" else True), message

    @fuzz(1500)
    @given(SOUP | either(*[text for text in ODD_STATEMENTS if text]).map(str))
    @example("select E'a'\n'b\\''; select 2 --'")
    @example("create table x as select 1 begin, 2 atomic; select 1 end")
    @example("create table x as select begin atomic from t; drop table t; select 1 end")
    @example(
        "create function f() returns int begin atomic select 1 case; end; drop table t;"
        " select 1 end"
    )
    def one(text: str) -> None:
        single, message = says(text)
        statements, finished = database.admin(
            "select statements, finished from jobs_internal.lex(%s)", [text]
        )[0]
        if single is False:
            assert statements != 1 or not finished, message
        elif single:
            assert statements <= 1, message
            assert finished, message

    one()

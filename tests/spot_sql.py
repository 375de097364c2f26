"""Run pgspot over the SQL, as the installer applies it: `python tests/spot_sql.py`;
part of `make lint`.

pgspot looks for names that somebody else could take the place of: functions without a search_path,
operators and functions found by an open path, objects that may have been there before.
It is called as a library, because some things it does not know:

- `begin atomic`: such a body is bound when the function is made, by the installer's search_path,
  so it is checked with
  that one. pgspot alone looks for the text after AS, and breaks.
- variables of a composite type: its parser has no catalog, and takes each for a scalar.
  They are declared as record.
- ELSIF, which it leaves out, and expressions that it takes for statements.
- jobs_internal.reset_session, which closes the path as set_config does.

Every exception stands in `EXCEPTIONS`, with its reason.
One that nothing needs any more is an error.
"""

import re
import sys
from argparse import Namespace
from copy import copy
from typing import Any

import click
from pglast import ast, parse_sql
from pglast.parser import ParseError
from pgspot import visitors
from pgspot.codes import codes
from pgspot.formatters import format_function
from pgspot.state import Counter, State

from pyworker.schema import read_source
from pyworker.schema.script import Step, plan

#: Called with search_path = pg_catalog, pg_temp, which jobs_internal.work sets first: a procedure
#: that commits cannot have a SET clause, and what runs a job has to change the path for it.
#: They are checked as if they had that clause.
CLOSED = {
    f"jobs_internal.{name}"
    for name in [
        "open_worker",
        "claim_work",
        "begin_claim",
        "run_stats_of",
        "wait_for_work",
        "wait_for_more",
        "work_alone",
        "work_chunk",
        "write_end",
        "write_end_later",
        "run_alone",
        "run_in_savepoint",
        "run_without_savepoint",
        "run_together",
        "begin_in_a_row",
        "end_in_a_row",
        "begin_attempt",
        "end_of_attempt",
        "run_chunk",
        "run_child",
        "measure_operation",
        "start_child",
        "prepare_child",
        "end_before_start",
        "find_lost_child",
        "note_started_child",
        "watch_child",
        "await_child",
        "child_result",
        "child_error",
        "child_verdict",
        "clear_leftover",
        "wait_for_old_transactions",
        "nap_before_start",
        "note_before",
        "run_top_level",
    ]
}
_BY_WORK = (
    "runs below jobs_internal.work, which closes the path first; checked as if it had the clause"
)
_THEIR_NAMES = (
    "finds what the caller names, by the caller's path and rights; every name of ours is full"
)
_ANY_PATH = "runs in whatever path the job's session has; every name of ours is full"
_COMMITS = (
    "a procedure that commits cannot have the clause; it closes the path with its first statement"
)
#: (code, function or file) -> why that is right.
EXCEPTIONS: dict[tuple[str, str], str] = {
    ("PS010",
        "sql/setup/roles.sql"): (
            "setup/preflight.sql refuses a schema of that name that is not ours (PW093)"
        ),
    **{("PS005", name): _BY_WORK for name in CLOSED},
    **{
        ("PS005", name): _THEIR_NAMES
        for name in (
            "jobs_internal.functions_by_name", "jobs_internal.type_of",
            "jobs_internal.signature_types", "jobs_internal.resolve", "jobs_internal.canonical",
            "jobs_internal.canonical_many", "jobs_internal.try_settings",
            "jobs_internal.callers_path", "jobs_internal.found_by", "jobs_internal.look_up",
            "jobs_internal.note_identity", "jobs_internal.note_object", "jobs_internal.objects_of",
            "jobs_internal.note_way_back", "jobs_internal.facts_of",
            "jobs_internal.facts_in_transaction", "jobs.rehearse", "jobs_internal.run_under",
            "jobs_internal.ask_under",
            "jobs_internal.ask", "jobs_internal.first_skipped_table",
            "jobs.enqueue", "jobs.enqueue_many", "jobs.enqueue_sql", "jobs.enqueue_steps",
            "jobs.create_batch",
            "jobs.schedule", "jobs.schedule_sql", "jobs_internal.try_schedule_settings",
            "jobs.import_schedules", "jobs_internal.try_import",
            "jobs.plan", "jobs_internal.plan_one", "jobs_internal.look_up_for_plan",
            "jobs_internal.measure_job", "jobs_internal.choose_queries",
            "jobs_internal.measure_query",
            "jobs.forget", "jobs.publish", "jobs_internal.recipe_relation", "jobs.not_null_steps",
            "jobs.constraint_steps", "jobs.unique_steps", "jobs.replace_index_steps",
        )
    },
    **{
        ("PS005", f"jobs_internal.{name}"): _ANY_PATH
        for name in ["argument", "run_call", "run_sql", "set_lock_timeout",
            "run_statement", "run_explain",
                     "reset_session", "launch_child", "wait_child", "child_outcome",
                     "detach_child", "launch_call", "read_call"]
    },
    ("PS005",
        "jobs_internal.is_state"): (
            "a CHECK, called for each row that is written; every name in it is full"
        ),
    ("PS005",
        "jobs_internal.run_mode"): (
            "bound when it is made; becomes a part of the query that calls it"
        ),
    ("PS005",
        "jobs_internal.is_gated"): (
            "bound when it is made; becomes a part of the query that calls it"
        ),
    ("PS005",
        "jobs_internal.waited"): "bound when it is made; becomes a part of the query that calls it",
    ("PS005", "jobs_internal.work"): _COMMITS,
    ("PS005", "jobs_internal.stop_job"): _COMMITS,
    ("PS005",
        "jobs.await"): "a procedure that commits cannot have the clause; every name in it is full",
    ("unparsed",
        "jobs_internal.argument"): (
            "its parser knows no polymorphic result; read by eye: every name is full"
        ),
}  # fmt: skip

_CLOSED_PATH = parse_sql(
    "create function f() returns void set search_path = pg_catalog, pg_temp as ''"
)[0].stmt.options[0]
_parse = visitors.visit_sql
_TYPED = re.compile(r"\b(\w+) jobs_internal\.\w+(?=\s*(?:;|:=))")


class Findings(Counter):  # type: ignore[misc]
    """Collects what pgspot says, instead of printing it."""

    def __init__(self) -> None:
        """Nothing is found yet."""
        super().__init__(
            Namespace(
                ignore=[], proc_without_search_path=[], plpgsql=True, ignore_lang=[], sql_fn=[]
            )
        )
        self.place = ""  #: the function or file that is looked at
        self.found: list[tuple[str, str, str]] = []

    def note(self, code: str, context: str) -> None:
        """Keep one finding."""
        self.found.append((code, self.place, context))

    warn = error = note

    def unknown(self, message: str) -> None:
        """Note what pgspot cannot judge: a language that it does not know."""
        self.note("unknown", message)


class Visitor(visitors.SQLVisitor):  # type: ignore[misc]
    """pgspot's own, with what it does not know."""

    def visit_FuncCall(self, ancestors: Any, node: Any) -> None:  # noqa: N802  pglast's name
        """Know that our function that resets a session closes the path."""
        super().visit_FuncCall(ancestors, node)
        if [name.sval for name in node.funcname] == ["jobs_internal", "reset_session"]:
            self.state.set_searchpath(["pg_catalog", "pg_temp"])

    def visit_CreateFunctionStmt(self, ancestors: Any, node: Any) -> None:  # noqa: N802  pglast's name
        """Check one function, under its own name."""
        findings = self.state.counter
        findings.place, before = ".".join(name.sval for name in node.funcname), findings.place
        node = copy(node)
        if findings.place in CLOSED:
            findings.note("PS005", format_function(node))
            node.options = (*node.options, _CLOSED_PATH)
        language = next(one.arg.sval for one in node.options if one.defname == "language")
        if node.sql_body is not None:
            node.options = (*node.options, _body(""))
        elif language == "plpgsql":
            text = next(str(one.arg[0].sval) for one in node.options if one.defname == "as")
            rest = tuple(one for one in node.options if one.defname != "as")
            node.options = (*rest, _body(_with_records(node, text)))
        try:
            super().visit_CreateFunctionStmt(ancestors, node)
        except ParseError as error:
            findings.note("unparsed", str(error))
        findings.place = before


class Branches(visitors.PLPGSQLVisitor):  # type: ignore[misc]
    """pgspot's own, which goes into IF and ELSE, and leaves ELSIF out."""

    def visit(self, node: Any) -> None:
        """Look at ELSIF too."""
        super().visit(node)
        if isinstance(node, dict) and "PLpgSQL_stmt_if" in node:
            super().visit(node["PLpgSQL_stmt_if"].get("elsif_list", []))


def _body(text: str) -> Any:
    return ast.DefElem(defname="as", arg=(ast.String(sval=text),))


def _with_records(node: Any, text: str) -> str:
    """Declare variables and parameters of a composite type as record; parameters in a block around
    the body.
    """
    text = _TYPED.sub(r"\1 record", text)
    typed = [
        one.name
        for one in node.parameters or ()
        if one.name and not one.argType.arrayBounds and one.argType.names[0].sval == "jobs_internal"
    ]
    if not typed:
        return text
    return (
        f"declare {' '.join(f'{name} record;' for name in typed)}"
        f" begin {text.rstrip().rstrip(';')}; end"
    )


def _visit_sql(state: Any, sql: str, toplevel: bool = False) -> None:
    try:
        _parse(state, sql, toplevel)
    except ParseError:
        if toplevel:
            raise
        _parse(state, f"SELECT {sql}")


def look(steps: list[Step]) -> list[tuple[str, str, str]]:
    """Give what pgspot finds in these steps, applied in this order: code,
    function or file, what.
    """
    visitors.SQLVisitor, visitors.PLPGSQLVisitor, visitors.visit_sql = Visitor, Branches, _visit_sql
    findings = Findings()
    state = State(findings)
    for step in steps:
        findings.place = step.where
        visitors.visit_sql(state, step.text, toplevel=True)
    return findings.found


def main() -> int:
    """Say what is found and not excepted; returns the exit code."""
    found = look(plan(read_source(), "install", pgmq=False))
    used = {(code, place) for code, place, _context in found}
    left = [one for one in found if one[:2] not in EXCEPTIONS]
    for code, place, context in left:
        click.echo(f"{place}: {code}: {codes.get(code, {}).get('title', code)}: {context}")
    stale = [one for one in EXCEPTIONS if one not in used]
    for code, place in stale:
        click.echo(f"{place}: {code}: excepted, but pgspot does not find it")
    if not left and not stale:
        click.echo(f"pgspot: nothing but the {len(EXCEPTIONS)} exceptions")
    return 1 if left or stale else 0


if __name__ == "__main__":
    sys.exit(main())

"""Refusals of recipes."""

from .refusal import Refusal, no

MADE = (
    "create table app.r (a integer, b integer not null, constraint there check (a > 0));"
    " create table app.parts (a integer) partition by range (a);"
    " create view app.seen as select 1 as a;"
    " create index r_a on app.r (a); create index on app.parts (a);"
    " alter table app.r add constraint one unique (b);"
)


def _recipe(name: str, code: str, call: str, *says: str, made: str = "") -> Refusal:
    return no(name, code, f"{MADE}{made}; select jobs.{call}", *says)


RECIPES = (
    _recipe("table that is not there", "PW061", "not_null_steps('app.no', 'a')", "app.no"),
    _recipe("null table", "PW061", "not_null_steps(null, 'a')"),
    _recipe("table of two words", "PW061", "not_null_steps('app.r r', 'a')", "app.r r"),
    _recipe("table of another database", "PW061", "not_null_steps('x.app.r', 'a')", "x.app.r"),
    _recipe(
        "table in a closed schema", "PW062", "not_null_steps('nobody.t', 'a')", "nobody", "42501"
    ),
    _recipe(
        "table of another role",
        "PW062",
        "not_null_steps('pg_catalog.pg_class', 'relname')",
        "pg_class does not belong to app",
        "postgres",
    ),
    _recipe("column that is not there", "PW061", "not_null_steps('app.r', 'c')", '"c"', "a, b"),
    _recipe("system column", "PW061", "not_null_steps('app.r', 'xmin')", "xmin"),
    _recipe("null column", "PW061", "not_null_steps('app.r', null)"),
    _recipe("column that is not null", "PW085", "not_null_steps('app.r', 'b')", "already"),
    _recipe("not null of a view", "PW085", "not_null_steps('app.seen', 'a')", "app.seen"),
    _recipe(
        "temporary table",
        "PW085",
        "not_null_steps('pg_temp.t', 'a')",
        "temporary",
        made="create temporary table t (a integer)",
    ),
    _recipe(
        "unique as a constraint",
        "PW085",
        "constraint_steps('app.r', 'c', 'unique (a)')",
        "UNIQUE",
    ),
    _recipe(
        "not valid twice",
        "PW085",
        "constraint_steps('app.r', 'c', 'check (a > 1) not valid')",
        "without NOT VALID",
    ),
    _recipe(
        "constraint and more",
        "PW085",
        "constraint_steps('app.r', 'c', 'check (a > 1), drop column a')",
        "one CHECK",
    ),
    _recipe(
        "two statements as a constraint",
        "PW017",
        "constraint_steps('app.r', 'c', 'check (a > 1); drop table app.r')",
    ),
    _recipe("null constraint", "PW014", "constraint_steps('app.r', 'c', null)"),
    _recipe(
        "constraint that is there", "PW085", "constraint_steps('app.r', 'there', 'check (a > 1)')"
    ),
    _recipe("constraint without a name", "PW015", "constraint_steps('app.r', '', 'check (a > 1)')"),
    _recipe(
        "foreign key to nothing",
        "PW061",
        "constraint_steps('app.r', 'c', 'foreign key (a) references app.no (a)')",
        "app.no",
    ),
    _recipe("unique without columns", "PW085", "unique_steps('app.r', '{}')", "1 to 32"),
    _recipe("unique with a column twice", "PW085", "unique_steps('app.r', '{a, a}')"),
    _recipe("unique with a null", "PW085", "unique_steps('app.r', '{a, null}')", "NULL"),
    _recipe("unique on no column", "PW061", "unique_steps('app.r', '{a, x}')", '"x"'),
    _recipe("unique that is there", "PW085", "unique_steps('app.r', '{b}')", "one"),
    _recipe("unique of a partitioned table", "PW085", "unique_steps('app.parts', '{a}')", "0A000"),
    _recipe("index that is not there", "PW061", "replace_index_steps('app.no', '(a)')", "index"),
    _recipe("table as an index", "PW085", "replace_index_steps('app.r', '(a)')", "app.r"),
    _recipe(
        "index of a constraint", "PW085", "replace_index_steps('app.one', '(b)')", "constraint one"
    ),
    _recipe(
        "index of a partitioned table", "PW085", "replace_index_steps('app.parts_a_idx', '(a)')"
    ),
    _recipe(
        "index of a partition",
        "PW085",
        "replace_index_steps('app.part_a_idx', '(a)')",
        "partitioned",
        made="create table app.part partition of app.parts default",
    ),
    _recipe(
        "clustered index",
        "PW085",
        "replace_index_steps('app.r_a', '(a)')",
        "clustered",
        made="alter table app.r cluster on r_a",
    ),
    _recipe(
        "replica identity",
        "PW085",
        "replace_index_steps('app.r_b', '(a)')",
        "replica identity",
        made="create unique index r_b on app.r (b); alter table app.r replica identity using index"
        " r_b",
    ),
    _recipe(
        "whole CREATE INDEX",
        "PW085",
        "replace_index_steps('app.r_a', 'create index on app.r (b)')",
        "btree (a)",
    ),
    _recipe("null definition", "PW085", "replace_index_steps('app.r_a', null)"),
    _recipe(
        "two statements as an index", "PW017", "replace_index_steps('app.r_a', '(b); select 1')"
    ),
)

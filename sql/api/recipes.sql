-- Recipes: steps for jobs.enqueue_steps. They change nothing.
--
-- Invoker functions without a pinned path, on purpose: names are looked up with the caller's path
-- and rights. What they mean is read by definer functions of engine/operations/recipes.sql and
-- index_recipes.sql.

create or replace function jobs.not_null_steps(table_name text, column_name text)
returns jsonb
language sql stable
begin atomic
  select jobs_internal.not_null_recipe(jobs_internal.recipe_relation(table_name), table_name,
    column_name);
end;
comment on function jobs.not_null_steps(text, text) is
'Steps for jobs.enqueue_steps that make a column NOT NULL, with no long lock: select '
'jobs.enqueue_steps(jobs.not_null_steps(''app.t'', ''c'')).
jsonb_pretty shows them to be read and changed. From PostgreSQL 18 on a NOT NULL constraint that '
'is not valid at first, then VALIDATE; before, a CHECK, VALIDATE, SET NOT NULL, and the CHECK goes.
table_name: as in SQL; column_name: as in pg_attribute, without quotes. Partitioned tables too.
Errors: PW061 no such table or column, PW062 it is not the caller''s, PW085 it is '
'not null already.';

create or replace function jobs.constraint_steps(table_name text, name text, definition text)
returns jsonb
language sql stable
begin atomic
  select jobs_internal.constraint_recipe(jobs_internal.recipe_relation(table_name), table_name,
    constraint_steps.name, definition,
    jobs_internal.recipe_relation(jobs_internal.referenced_table(definition)));
end;
comment on function jobs.constraint_steps(text, text, text) is
'Steps for jobs.enqueue_steps that add a constraint NOT VALID, and validate it then: writes go on '
'while the table is read.
name: without quotes. definition: check (...) or foreign key (...) references ...
Errors: PW061 no such table, PW062 it is not the caller''s, PW085 another kind of constraint, or '
'the name is taken; PW017 a syntax error.';

create or replace function jobs.unique_steps(table_name text, columns text[])
returns jsonb
language sql stable
begin atomic
  select jobs_internal.unique_recipe(jobs_internal.recipe_relation(table_name), table_name,
    columns);
end;
comment on function jobs.unique_steps(text, text[]) is
'Steps for jobs.enqueue_steps that build a unique index concurrently, and make a UNIQUE constraint '
'of it.
columns: as in pg_attribute, without quotes.
Errors: PW061 no such table or column, PW062 it is not the caller''s, PW085 a partitioned '
'table, or there is such a constraint.';

create or replace function jobs.replace_index_steps(index_name text, new_definition text)
returns jsonb
language sql stable
begin atomic
  select jobs_internal.replace_index_recipe(jobs_internal.recipe_relation(index_name), index_name,
    new_definition);
end;
comment on function jobs.replace_index_steps(text, text) is
'Steps for jobs.enqueue_steps that build another index concurrently, drop the old one, and give '
'its name to the new one.
new_definition: what stands behind the name of the table in CREATE INDEX, as in (a, b) where '
'b > 0, with UNIQUE before it for one that becomes unique; one that is unique stays so. A comment '
'and statistics targets of the old index are not kept.
Errors: PW061 no such index, PW062 it is not the caller''s, PW085 the index of a constraint, a '
'replica identity, a clustered one, one of a partitioned table; PW017 a syntax error.';

-- OUT and INOUT values of procedures: a CALL sends them as one row, which the watcher of its child
-- session reads when the child has ended. Here is what that row looks like.

-- The columns of the row that a CALL of this procedure sends, for a list of column definitions.
-- Null: it gives nothing back, it is no procedure, or the types depend on what it is called with.
-- p_path: null also where another procedure of its schema, or of these, has its name: which one a
-- CALL means depends on its arguments, those of OUT parameters too.
create or replace function jobs_internal.columns_of(p_func oid, p_path name[] default null)
returns text
language sql stable security definer
set search_path = pg_catalog, pg_temp
begin atomic
  select string_agg(format('%I %s', o.name, jobs_internal.type_name(o.type_id)), ', ' order by o.n)
  from (
    select p.n, p.type_id, coalesce(p.name, 'column' || row_number() over (order by p.n)) as name
    from jobs_internal.parameters(p_func) as p
    where p.mode in ('o', 'b')
  ) as o
  join pg_type as t on t.oid = o.type_id
  where exists (select from pg_proc as f where f.oid = p_func and f.prokind = 'p' and not exists (
    select from pg_proc as g
    join pg_namespace as n on n.oid = g.pronamespace
    where g.proname = f.proname and g.prokind = 'p' and g.oid <> f.oid and p_path is not null
      and (g.pronamespace = f.pronamespace or n.nspname = any (p_path))))
  having bool_and(t.typtype <> 'p');
end;

-- The name that the text of a CALL calls, as written; null: it cannot be read for sure.
create or replace function jobs_internal.called_name(p_statement text)
returns text
language sql immutable security definer
set search_path = pg_catalog, pg_temp
begin atomic
  select n.name
  from jobs_internal.lex(p_statement) as l
  cross join lateral jobs_internal.name_at(l.words, l.raw, 2) as n
  where l.words[1] = 'CALL' and l.words[n.next] = '(';
end;

-- The columns of the row that a CALL of this call template sends, for a list of column definitions.
-- Null: a function, a statement, or a procedure that gives nothing back.
create or replace function jobs_internal.out_columns(p_call_template_id integer)
returns text
language sql stable security definer
set search_path = pg_catalog, pg_temp
begin atomic
  select jobs_internal.columns_of(s.func) from jobs_internal.call_template as s
  where s.id = p_call_template_id and s.procedure;
end;

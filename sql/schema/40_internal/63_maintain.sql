-- VACUUM and ANALYZE of a table that the owner of the job may not maintain: PostgreSQL skips it with a warning that nobody reads, and calls that a
-- success. So the worker looks before it runs them, and the job fails instead.

-- Purpose: the tables that VACUUM or ANALYZE names, as written; null for any other statement. Only reads the text: definer for the lexer's sake.
create or replace function jobs_internal.maintained(p_statement text)
returns text[]
language plpgsql immutable security definer
set search_path = pg_catalog, pg_temp
as $$
declare
  v_words text[];
  v_raw text[];
  v_names text[] := '{}';
  v_name text;
  v_i integer := 2;
begin
  select l.words, l.raw into v_words, v_raw from jobs_internal.lex(p_statement) as l;
  if v_words[1] is null or v_words[1] not in ('VACUUM', 'ANALYZE', 'ANALYSE') then
    return null;
  end if;
  if v_words[v_i] = '(' then
    v_i := pg_catalog.array_position(v_words, ')') + 1;
  end if;
  while v_words[v_i] in ('FULL', 'FREEZE', 'VERBOSE', 'ANALYZE', 'ANALYSE') loop
    v_i := v_i + 1;
  end loop;
  while v_words[v_i] is not null loop
    while v_words[v_i] in ('ONLY', '(') loop
      v_i := v_i + 1;
    end loop;
    v_name := v_raw[v_i];
    while v_raw[v_i + 1] = '.' loop
      v_name := v_name || '.' || v_raw[v_i + 2];
      v_i := v_i + 2;
    end loop;
    v_names := v_names || v_name;
    -- What may follow (a star, columns) says nothing about the table.
    v_i := coalesce(jobs_internal.next_comma(v_words, v_i), pg_catalog.cardinality(v_words)) + 1;
  end loop;
  return v_names;
end
$$;
comment on function jobs_internal.maintained(text) is 'The tables that VACUUM or ANALYZE names, as written; null for any other statement';

-- Purpose: the place of the first comma outside of parentheses behind a place; null: none.
create or replace function jobs_internal.next_comma(p_words text[], p_place integer)
returns integer
language sql immutable
set search_path = pg_catalog, pg_temp
begin atomic
  select min(d.n)
  from (
    select w.n, w.word, sum(case w.word when '(' then 1 when ')' then -1 else 0 end) over (order by w.n) as depth
    from unnest(p_words) with ordinality as w(word, n)
    where w.n > p_place
  ) as d
  where d.word = ',' and d.depth <= 0;
end;
comment on function jobs_internal.next_comma(text[], integer) is 'The place of the first comma outside of parentheses behind a place';

-- Purpose: the first table that this VACUUM or ANALYZE would skip because the caller may not maintain it; null: none. Looks names up with the
-- caller's path and rights: invoker on purpose. The rule is the server's: MAINTAIN on the table, or the database is the caller's.
create or replace function jobs_internal.passed_over(p_statement text)
returns text
language sql stable
begin atomic
  select n.name
  from pg_catalog.unnest(jobs_internal.maintained(p_statement)) as n(name)
  where not pg_catalog.has_table_privilege(pg_catalog.to_regclass(n.name)::oid, 'MAINTAIN')
    and not pg_catalog.pg_has_role((
      select d.datdba from pg_catalog.pg_database as d where d.datname operator(pg_catalog.=) pg_catalog.current_database()), 'USAGE')
  limit 1;
end;
comment on function jobs_internal.passed_over(text) is 'The first table that this VACUUM or ANALYZE would skip for want of a right; null: none';

-- Purpose: the error of a job whose table would be skipped.
create or replace function jobs_internal.skip_error(p_table text)
returns jsonb
language sql stable
set search_path = pg_catalog, pg_temp
begin atomic
  select jobs_internal.error_object('42501', format('permission denied to maintain %s: PostgreSQL would skip it with a warning', p_table),
    'Nothing was done.', format('Ask its owner for: grant maintain on %s to %I. A retry helps after that.', p_table, session_user));
end;
comment on function jobs_internal.skip_error(text) is 'The error of a job whose table would be skipped';

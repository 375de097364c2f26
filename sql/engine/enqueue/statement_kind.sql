-- What kind of statement a text is, and whether a job may run it.

-- Refuse a text that PostgreSQL cannot read, with what it says. Only the grammar is asked: what is
-- missing may be made by an earlier job. p_what: what the text is, for the message; call it after
-- classify, which bounds the text. Errors: PW017. Nothing of the text runs: EXECUTE reads a string
-- as a whole before it looks at the first statement of it, and the first one always fails. As the
-- function is stable, the server would not let the rest write either. Reading looks nothing up, so
-- that whose rights it has is one.
create or replace function jobs_internal.assert_readable(p_text text, p_what text)
returns void
language plpgsql stable
set search_path = pg_catalog, pg_temp
set standard_conforming_strings = on  -- as in the worker
set exit_on_error = off
as $$
declare
  v_message text;
begin
  begin
    execute 'select 1 operator(pg_catalog./) 0; ' || p_text;
    v_message := 'it was run';
  exception
    when syntax_error then
      raise exception using errcode = 'PW017', message = format('%s has a syntax error', p_what),
        detail = format('PostgreSQL says (42601): %s', left(sqlerrm, 1000)),
        hint = 'Correct it. What does not exist yet is no error here, only what PostgreSQL cannot '
          'read. A retry cannot help.';
    when others then
      return;  -- what else there is to say is said when it runs
  end;
  raise exception using errcode = 'XX000', message = v_message;
end
$$;

-- What kind of statement a text is.
-- Returns: command (its first words, without names and values), top_level (it runs outside a
--   transaction, or apart because it takes long), target (what it works on, as target_of; null:
--   unknown), operation (the long operation that it is, as operation_of; null: none). Errors:
--   PW014 empty, PW017 more than one or unfinished, PW018 too long, PW021 not allowed, PW063 not of
--   this version.
create or replace function jobs_internal.classify(
  p_text text,
  out command text,
  out top_level boolean,
  out target jsonb,
  out operation jsonb
)
language plpgsql immutable
set search_path = pg_catalog, pg_temp
as $$
declare
  v_words text[];
  v_raw text[];
  v_statements integer;
  v_finished boolean;
  v_makes_table boolean;
  v_bad text;
  v_w text;
begin
  if octet_length(p_text) > 1000000 then
    raise exception using errcode = 'PW018', message = 'the statement is too long',
      detail = format('It has %s bytes; 1000000 are allowed.', octet_length(p_text)),
      hint = 'Keep the data in a table, or write a function. A retry cannot help.';
  end if;
  select l.words, l.raw, l.statements, l.finished, l.makes_table
  into v_words, v_raw, v_statements, v_finished, v_makes_table
  from jobs_internal.lex(p_text) as l;
  if coalesce(v_statements, 0) = 0 then
    raise exception using errcode = 'PW014', message = 'the statement is empty',
      detail = 'There is nothing in it but white space and comments.',
        hint = 'Pass one SQL statement. A retry cannot help.';
  end if;
  if not v_finished then
    raise exception using errcode = 'PW017', message = 'the statement does not end',
      detail = 'A quote or a comment is not closed.',
        hint = 'Pass one complete SQL statement. A retry cannot help.';
  end if;
  if v_statements > 1 then
    raise exception using errcode = 'PW017', message = format('one statement is expected, not %s',
        v_statements),
      detail = 'Only a text of one statement can run at top level.',
      hint = 'Enqueue one job each, or write a function. A retry cannot help.';
  end if;
  v_w := v_words[1];
  v_bad := case
    when v_w in ('BEGIN', 'START', 'COMMIT', 'END', 'ROLLBACK', 'ABORT', 'SAVEPOINT', 'RELEASE')
      or (v_w = 'PREPARE' and v_words[2] = 'TRANSACTION')
      then 'Transaction control belongs to the worker.'
    when v_w in ('SET', 'RESET') then 'Settings of a job go into the option settings.'
    when v_w in ('LISTEN', 'UNLISTEN') then 'A background session cannot listen.'
    when v_w in ('PREPARE', 'EXECUTE', 'DEALLOCATE', 'DECLARE', 'FETCH', 'MOVE', 'CLOSE', 'DISCARD',
        'LOAD')
      then 'It acts on a session, and the session of a job is not the caller''s.'
    when v_w = 'COPY' and 'STDIN' = any (v_words)
      then 'No client sends rows to a background session.'
    when v_w = 'COPY' and 'STDOUT' = any (v_words)
      then 'No client reads rows from a background session: they would be lost.'
    when v_w in ('SELECT', 'WITH', 'VALUES', 'TABLE', '(') and v_makes_table
      then 'SELECT INTO is written as CREATE TABLE AS.'
    when v_w is null or not v_w ~ '^[A-Z(]' then 'It does not begin with a word of SQL.'
  end;
  if v_bad is not null then
    raise exception using errcode = 'PW021',
      message = format('%s cannot be a job', left(coalesce(v_w, btrim(p_text)), 100)),
        detail = v_bad,
      hint = 'See docs/reference/sql.md for what jobs.enqueue_sql takes. A retry cannot help.';
  end if;
  target := jobs_internal.target_of(v_words, v_raw);
  operation := jobs_internal.operation_of(v_words, v_raw, target);
  if operation ->> 'kind' in ('repack', 'repack concurrently')
    and current_setting('server_version_num')::integer < 190000
  then
    raise exception using errcode = 'PW063',
      message = format('this server has no %s', upper(operation ->> 'kind')),
      detail = format('It came with PostgreSQL 19; this is %s.',
        current_setting('server_version')),
      hint = 'VACUUM FULL and CLUSTER write a table anew, and block reads meanwhile. A retry '
        'cannot help.';
  end if;
  command := lower(case
    when target ->> 'kind' in ('create_index', 'drop_index') and (target -> 'concurrently')::boolean
      then v_w || ' INDEX CONCURRENTLY'
    when v_w in ('CREATE', 'DROP', 'ALTER') then v_w || ' ' || array_to_string(array(
      select u.w from unnest(v_words[2:4]) with ordinality as u(w, n)
      where u.w in ('TABLE', 'INDEX', 'UNIQUE', 'VIEW', 'MATERIALIZED', 'DATABASE', 'SYSTEM',
          'TYPE', 'SCHEMA', 'SEQUENCE', 'FUNCTION', 'PROCEDURE',
        'TRIGGER', 'EXTENSION', 'SUBSCRIPTION', 'PUBLICATION', 'TABLESPACE', 'STATISTICS', 'POLICY',
        'ROLE', 'DOMAIN') order by u.n), ' ')
    when v_w = 'REFRESH' then 'REFRESH MATERIALIZED VIEW'
    when v_w = 'REINDEX' then 'REINDEX' || case when (target -> 'concurrently')::boolean
      then ' CONCURRENTLY' else '' end
    when v_w = 'INSERT' then 'INSERT'
    when v_w = '(' then 'SELECT'
    else v_w
  end);
  top_level := v_w in ('VACUUM', 'CALL', 'DO', 'CHECKPOINT')
    or exists (select from jobs_internal.operation_kinds() as k
      where k.kind = operation ->> 'kind' and k.runs_apart)
    or coalesce(target ->> 'kind' in ('create', 'drop', 'move')
        or target ->> 'scope' in ('schema', 'database', 'system'), false)
    or (v_w = 'ALTER' and v_words[2] = 'SYSTEM')
    or (v_w = 'ALTER' and v_words[2] = 'SUBSCRIPTION'
        and v_words && array['REFRESH', 'PUBLICATION'])
    or (v_w in ('CLUSTER', 'ANALYZE', 'ANALYSE') and cardinality(v_words) = 1);
end
$$;

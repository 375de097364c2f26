-- What kind of statement a text is: a lexer for what matters (quotes, comments, semicolons, words), and the rules that follow.
--
-- The text is never executed here. The lexer cuts it into tokens with one regular expression and walks them once. What it keeps of the text
-- is bounded (names up to 1000 characters, where the server keeps 63; 400 words), so that its cost grows with the length and no more.
--
-- The server's own scanner is not so: it reads a whole run of operator characters again for each /* in it, and for each + or - that is an
-- operator of its own. A run of a million characters would keep it for hours in code that no signal interrupts. The lexer counts that work
-- while it walks, and refuses the text before the server sees it. The depth of comments alone costs the server nothing.

-- Purpose: the words and structure of a statement outside of quotes and comments, as the server's own scanner sees them.
-- Returns: words in upper case with '(' ')' ',' as words of their own, quoted identifiers as '"', strings as ''''; raw: the same with the
--   words as written; both cut after 400, but for the first STDIN and STDOUT; statements: how many there are; finished: no quote or comment
--   is left open; makes_table: INTO stands outside of parentheses and not behind INSERT or MERGE: of a query it is SELECT INTO.
-- Errors: PW018 a run of operator characters that the server's scanner would need too long for.
create or replace function jobs_internal.lex(p_text text, out words text[], out raw text[], out statements integer, out finished boolean,
  out makes_table boolean)
language plpgsql immutable
set search_path = pg_catalog, pg_temp
set standard_conforming_strings = on
as $body$
declare
  v_state text := 'plain';  -- plain, string, escape (E''), ident, line, block, dollar
  v_closed text := '';      -- the quote that ended just before: the same quote again goes on with it
  v_escaped boolean := false;
  v_line text := '';        -- an E'' string ended, and so far only white space: with a newline in it, the next quote goes on with it
  v_star boolean := false;  -- in a block comment: a * stands just before
  v_depth integer := 0;     -- of nested comments
  v_parens integer := 0;
  v_atomic integer := 0;    -- inside BEGIN ATOMIC ... END, semicolons do not end the statement
  v_open text := '';        -- the beginning of what may be a dollar tag
  v_tag text;
  v_token text;
  v_upper text;
  v_previous text := '';    -- the word before, upper case
  v_word boolean := false;  -- a word ends just before, so that $ is part of it, and E a prefix
  v_fresh boolean := true;  -- nothing of the present statement seen yet
  v_quoted text := '';
  v_kept boolean := false;  -- the word before is the last of words
  v_rule boolean := false;  -- the statement makes a rule, whose actions are ( ; )
  v_starts integer := 0;    -- so many times the server's scanner reads this run of operator characters
  v_work bigint := 0;       -- characters that it reads again
begin
  words := '{}';
  raw := '{}';
  statements := 0;
  makes_table := false;
  for v_token in
    select m[1]
    from pg_catalog.regexp_matches(p_text,
      '--|/\*|[A-Za-z_\u0080-\U0010ffff][A-Za-z_0-9\u0080-\U0010ffff]*|[0-9][0-9A-Za-z_.]*|[ \t\n\r\f\v]+|.', 'g') as m
  loop
    if v_starts > 0 then
      if v_token ~ '^[-+*/<>=~!@#%^&|`?]' then
        v_work := v_work + v_starts * pg_catalog.length(v_token);
        if v_work > 100000000 then
          raise exception using errcode = 'PW018', message = 'a run of operator characters or comments is too long',
            detail = pg_catalog.format('It begins %s comments or operators with nothing between them, which PostgreSQL reads again and again.', v_starts),
            hint = 'Put white space between them. A retry cannot help.';
        end if;
      else
        v_starts := 0;
      end if;
    end if;
    if v_token = '/*' and v_state in ('plain', 'block') then
      v_starts := v_starts + 1;
    end if;
    case v_state
      when 'line' then
        if v_token ~ '[\n\r]' then
          v_state := 'plain';
          v_line := case v_line when '' then '' else 'newline' end;
        end if;
        continue;
      when 'block' then
        if v_star and v_token in ('/', '/*') then
          v_depth := v_depth - 1;
          v_star := v_token = '/*';  -- its * may be the first of the next */
          if v_depth = 0 then v_state := 'plain'; end if;
          continue when v_depth > 0 or v_token = '/';
          v_token := '*';
        else
          v_depth := v_depth + (v_token = '/*')::integer;
          v_star := v_token = '*';
          continue;
        end if;
      when 'string' then
        -- A backslash is an ordinary character here.
        if v_token = '''' then v_state := 'plain'; v_closed := 'string'; end if;
        continue;
      when 'escape' then
        if v_escaped then
          v_escaped := false;
        elsif v_token = '\' then
          v_escaped := true;
        elsif v_token = '''' then
          v_state := 'plain';
          v_closed := 'escape';
          v_line := 'ended';
        end if;
        continue;
      when 'ident' then
        if v_token = '"' then
          v_state := 'plain';
          v_closed := 'ident';
        else
          if pg_catalog.length(v_quoted) < 1000 then
            v_quoted := v_quoted || pg_catalog.left(v_token, 1000);
          end if;
        end if;
        continue;
      when 'dollar' then
        -- v_open is what of the tag has been seen; its last $ may be the first of the next try.
        if v_token = '$' then
          if v_open || '$' = v_tag then
            v_state := 'plain';
            v_open := '';
          else
            v_open := '$';
          end if;
        else
          v_open := case when v_open = '$' then '$' || v_token else '' end;
        end if;
        continue;
      else
        null;
    end case;

    if v_closed <> '' then
      if v_token = (case v_closed when 'ident' then '"' else '''' end) then
        v_state := v_closed;
        v_line := '';
        if v_state = 'ident' and pg_catalog.length(v_quoted) < 1000 then
          v_quoted := v_quoted || '""';
        end if;
        v_closed := '';
        continue;
      end if;
      if v_closed = 'ident' and pg_catalog.cardinality(raw) < pg_catalog.cardinality(words) then
        raw := raw || ('"' || v_quoted || '"');
      end if;
      v_closed := '';
    end if;
    if v_open <> '' then
      if v_token = '$' then
        v_state := 'dollar';
        v_tag := v_open || '$';
        v_open := '';
        v_previous := '''';
        if pg_catalog.cardinality(words) < 400 then
          words := words || ''''::text;
          raw := raw || ''''::text;
        end if;
        continue;
      elsif v_open = '$' and v_token ~ '^[A-Za-z_\u0080-\U0010ffff]' then
        v_open := '$' || v_token;
        continue;
      end if;
      v_open := '';  -- $1
    end if;

    v_upper := pg_catalog.upper(v_token);
    if v_token ~ '^[ \t\n\r\f\v]' then
      v_word := false;
      if v_line <> '' and v_token ~ '[\n\r]' then v_line := 'newline'; end if;
      continue;
    elsif v_token = '''' and v_line = 'newline' then
      v_state := 'escape';
      v_line := '';
      continue;
    elsif v_token = '--' then
      v_state := 'line';
      v_word := false;
      continue;
    end if;
    v_line := '';
    if v_token = '/*' then
      v_state := 'block';
      v_depth := 1;
      v_star := false;
      v_word := false;
      continue;
    elsif v_token = ';' and v_atomic = 0 and (v_parens = 0 or not v_rule) then
      v_fresh := true;
      v_word := false;
      v_previous := ';';
      continue;
    end if;
    if v_fresh then
      statements := statements + 1;
      v_fresh := false;
    end if;
    if v_word and (v_token = '$' or v_token ~ '^[A-Za-z_0-9\u0080-\U0010ffff]') then
      -- Part of a name with a dollar sign.
      if pg_catalog.length(v_previous) < 1000 then
        v_previous := v_previous || v_upper;
        if v_kept then
          words[pg_catalog.cardinality(words)] := v_previous;
          raw[pg_catalog.cardinality(raw)] := raw[pg_catalog.cardinality(raw)] || v_token;
        end if;
      end if;
      continue;
    elsif v_token = '$' then
      v_open := '$';
      continue;
    elsif v_token = '''' then
      v_state := case when v_word and v_previous = 'E' then 'escape' else 'string' end;
    elsif v_token = '"' then
      v_state := 'ident';
      v_quoted := '';
    elsif v_token = '(' then
      v_parens := v_parens + 1;
    elsif v_token = ')' then
      v_parens := greatest(v_parens - 1, 0);
    elsif v_upper = 'ATOMIC' and v_previous = 'BEGIN' and words[1] = 'CREATE'
      and (case when words[2] = 'OR' then words[4] else words[2] end) in ('FUNCTION', 'PROCEDURE')
    then
      v_atomic := greatest(v_atomic, 1);
    elsif v_upper = 'INTO' and v_parens = 0 and v_previous not in ('INSERT', 'MERGE', 'AS', '.') then
      makes_table := true;
    -- It may be the name of a column. So it counts only where a value can begin; an END too many hides nothing.
    elsif v_upper = 'CASE' and v_atomic > 0 and (v_previous ~ '^[(,=<>+*/%^~!@#&|-]$' or v_previous in ('SELECT', 'DISTINCT', 'ALL', 'RETURN', 'RETURNING',
      'WHEN', 'THEN', 'ELSE', 'CASE', 'AND', 'OR', 'NOT', 'BY', 'WHERE', 'HAVING', 'ON', 'BETWEEN', 'LIKE', 'ILIKE', 'TO', 'FROM', 'FOR', 'LIMIT',
      'OFFSET', 'ZONE', 'IN', 'ESCAPE'))
    then
      v_atomic := v_atomic + 1;
    elsif v_upper = 'END' and v_atomic > 0 then
      v_atomic := v_atomic - 1;
    end if;
    if v_token in ('+', '-') then
      v_starts := v_starts + 1;
    end if;
    v_word := v_token ~ '^[A-Za-z_\u0080-\U0010ffff]';
    v_previous := v_upper;
    v_kept := pg_catalog.cardinality(words) < 400 or (v_upper in ('STDIN', 'STDOUT') and not v_upper = any (words));
    if v_kept then
      words := words || v_upper;
      if v_token <> '"' then
        raw := raw || v_token;
      end if;
      v_rule := v_rule or (v_upper = 'RULE' and pg_catalog.cardinality(words) between 2 and 4);
    end if;
  end loop;
  if v_closed = 'ident' and pg_catalog.cardinality(raw) < pg_catalog.cardinality(words) then
    raw := raw || ('"' || v_quoted || '"');
  end if;
  finished := v_state in ('plain', 'line') and v_atomic = 0;
end
$body$;
comment on function jobs_internal.lex(text) is 'Words of a statement outside of quotes and comments, and how many statements there are';

-- Purpose: refuse a text that PostgreSQL cannot read, with what it says. Only the grammar is asked: what is missing may be made by an
-- earlier job. p_what: what the text is, for the message; call it after classify, which bounds the text. Errors: PW017.
-- Nothing of the text runs: EXECUTE reads a string as a whole before it looks at the first statement of it, and the first one always fails.
-- As the function is stable, the server would not let the rest write either. Reading looks nothing up, so that whose rights it has is one.
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
      raise exception using errcode = 'PW017', message = pg_catalog.format('%s has a syntax error', p_what),
        detail = pg_catalog.format('PostgreSQL says (42601): %s', pg_catalog.left(sqlerrm, 1000)),
        hint = 'Correct it. What does not exist yet is no error here, only what PostgreSQL cannot read. A retry cannot help.';
    when others then
      return;  -- what else there is to say is said when it runs
  end;
  raise exception using errcode = 'XX000', message = v_message;
end
$$;
comment on function jobs_internal.assert_readable(text, text) is 'PW017 for a text with a syntax error; nothing of the text runs';

-- Purpose: what kind of statement a text is.
-- Returns: command (its first words, without names and values), top_level (it runs outside a transaction), target (what it works on, as
-- target_of; null: unknown). Errors: PW014 empty, PW017 more than one or unfinished, PW018 too long, PW021 not allowed.
create or replace function jobs_internal.classify(
  p_text text,
  out command text,
  out top_level boolean,
  out target jsonb
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
  if pg_catalog.octet_length(p_text) > 1000000 then
    raise exception using errcode = 'PW018', message = 'the statement is too long',
      detail = pg_catalog.format('It has %s bytes; 1000000 are allowed.', pg_catalog.octet_length(p_text)),
      hint = 'Keep the data in a table, or write a function. A retry cannot help.';
  end if;
  select l.words, l.raw, l.statements, l.finished, l.makes_table
  into v_words, v_raw, v_statements, v_finished, v_makes_table
  from jobs_internal.lex(p_text) as l;
  if coalesce(v_statements, 0) = 0 then
    raise exception using errcode = 'PW014', message = 'the statement is empty',
      detail = 'There is nothing in it but white space and comments.', hint = 'Pass one SQL statement. A retry cannot help.';
  end if;
  if not v_finished then
    raise exception using errcode = 'PW017', message = 'the statement does not end',
      detail = 'A quote or a comment is not closed.', hint = 'Pass one complete SQL statement. A retry cannot help.';
  end if;
  if v_statements > 1 then
    raise exception using errcode = 'PW017', message = pg_catalog.format('one statement is expected, not %s', v_statements),
      detail = 'Only a text of one statement can run at top level.',
      hint = 'Enqueue one job each, or write a function. A retry cannot help.';
  end if;
  v_w := v_words[1];
  v_bad := case
    when v_w in ('BEGIN', 'START', 'COMMIT', 'END', 'ROLLBACK', 'ABORT', 'SAVEPOINT', 'RELEASE') or (v_w = 'PREPARE' and v_words[2] = 'TRANSACTION')
      then 'Transaction control belongs to the worker.'
    when v_w in ('SET', 'RESET') then 'Settings of a job go into the option settings.'
    when v_w in ('LISTEN', 'UNLISTEN') then 'A background session cannot listen.'
    when v_w in ('PREPARE', 'EXECUTE', 'DEALLOCATE', 'DECLARE', 'FETCH', 'MOVE', 'CLOSE', 'DISCARD', 'LOAD')
      then 'It acts on a session, and the session of a job is not the caller''s.'
    when v_w = 'COPY' and 'STDIN' = any (v_words) then 'Nobody sends rows to a background session.'
    when v_w = 'COPY' and 'STDOUT' = any (v_words) then 'Nobody reads rows from a background session: they would be lost.'
    when v_w in ('SELECT', 'WITH', 'VALUES', 'TABLE', '(') and v_makes_table then 'SELECT INTO is written as CREATE TABLE AS.'
    when v_w is null or not v_w ~ '^[A-Z(]' then 'It does not begin with a word of SQL.'
  end;
  if v_bad is not null then
    raise exception using errcode = 'PW021', message = pg_catalog.format('%s cannot be a job', pg_catalog.left(coalesce(v_w, pg_catalog.btrim(p_text)), 100)), detail = v_bad,
      hint = 'See docs/reference/sql.md for what jobs.enqueue_sql takes. A retry cannot help.';
  end if;
  target := jobs_internal.target_of(v_words, v_raw);
  command := pg_catalog.lower(case
    when target ->> 'kind' in ('create_index', 'drop_index') and (target -> 'concurrently')::boolean then v_w || ' INDEX CONCURRENTLY'
    when v_w in ('CREATE', 'DROP', 'ALTER') then v_w || ' ' || pg_catalog.array_to_string(array(
      select u.w from pg_catalog.unnest(v_words[2:4]) with ordinality as u(w, n)
      where u.w in ('TABLE', 'INDEX', 'UNIQUE', 'VIEW', 'MATERIALIZED', 'DATABASE', 'SYSTEM', 'TYPE', 'SCHEMA', 'SEQUENCE', 'FUNCTION', 'PROCEDURE',
        'TRIGGER', 'EXTENSION', 'SUBSCRIPTION', 'PUBLICATION', 'TABLESPACE', 'STATISTICS', 'POLICY', 'ROLE', 'DOMAIN') order by u.n), ' ')
    when v_w = 'REFRESH' then 'REFRESH MATERIALIZED VIEW'
    when v_w = 'REINDEX' then 'REINDEX' || case when (target -> 'concurrently')::boolean then ' CONCURRENTLY' else '' end
    when v_w = 'INSERT' then 'INSERT'
    when v_w = '(' then 'SELECT'
    else v_w
  end);
  top_level := v_w in ('VACUUM', 'CALL', 'DO', 'CHECKPOINT')
    or coalesce((target -> 'concurrently')::boolean and target ->> 'kind' <> 'refresh', false)
    or coalesce(target ->> 'kind' in ('create', 'drop', 'move') or target ->> 'scope' in ('schema', 'database', 'system'), false)
    or (v_w = 'ALTER' and v_words[2] = 'SYSTEM')
    or (v_w = 'ALTER' and v_words[2] = 'SUBSCRIPTION' and v_words && array['REFRESH', 'PUBLICATION'])
    or (v_w in ('CLUSTER', 'ANALYZE', 'ANALYSE') and pg_catalog.cardinality(v_words) = 1);
end
$$;
comment on function jobs_internal.classify(text) is 'What kind of statement a text is, whether it runs at top level, and what it works on';

-- A lexer for what matters of an SQL statement: words, quotes, comments, semicolons.
--
-- The text is never executed here. The lexer cuts it into tokens with one regular expression and
-- walks them once. What it keeps of the text is bounded (names up to 1000 characters, where the
-- server keeps 63; 400 words), so that its cost grows with the length and no more.
--
-- The server's own scanner is not so: it reads a whole run of operator characters again for each /*
-- in it, and for each + or - that is an operator of its own. A run of a million characters would
-- keep it for hours in code that no signal interrupts. The lexer counts that work while it walks,
-- and refuses the text before the server sees it. The depth of comments alone costs the server
-- nothing.

-- The words and structure of a statement outside of quotes and comments, as the server's own
-- scanner sees them.
-- Returns: words in upper case with '(' ')' ',' as words of their own, quoted identifiers as '"',
--   strings as ''''; raw: the same with the words as written; both cut after 400, but for the first
--   STDIN and STDOUT; statements: how many there are; finished: no quote or comment is left open;
--   makes_table: INTO stands outside of parentheses and not behind INSERT or MERGE: of a query it
--   is SELECT INTO.
-- Errors: PW018 a run of operator characters that the server's scanner would need too long for.
create or replace function jobs_internal.lex(p_text text, out words text[], out raw text[],
    out statements integer, out finished boolean,
  out makes_table boolean)
language plpgsql immutable
set search_path = pg_catalog, pg_temp
set standard_conforming_strings = on
as $body$
declare
  v_state text := 'plain';  -- plain, string, escape (E''), ident, line, block, dollar
  -- the quote that ended just before: the same quote again goes on with it
  v_closed text := '';
  v_escaped boolean := false;
  -- an E'' string ended, and so far only white space: with a newline in it, the next quote goes on
  -- with it
  v_line text := '';
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
  -- so many times the server's scanner reads this run of operator characters
  v_starts integer := 0;
  v_work bigint := 0;       -- characters that it reads again
begin
  words := '{}';
  raw := '{}';
  statements := 0;
  makes_table := false;
  for v_token in
    select m[1]
    from regexp_matches(p_text,
      '--|/\*|[A-Za-z_\u0080-\U0010ffff][A-Za-z_0-9\u0080-\U0010ffff]*|[0-9][0-9A-Za-z_.]*|[ '
      '\t\n\r\f\v]+|.', 'g') as m
  loop
    if v_starts > 0 then
      if v_token ~ '^[-+*/<>=~!@#%^&|`?]' then
        v_work := v_work + v_starts * length(v_token);
        if v_work > 100000000 then
          raise exception using errcode = 'PW018',
            message = 'a run of operator characters or comments is too long',
            detail = format('It begins %s comments or operators with nothing between them, which '
              'PostgreSQL reads again and again.', v_starts),
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
          if length(v_quoted) < 1000 then
            v_quoted := v_quoted || left(v_token, 1000);
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
        if v_state = 'ident' and length(v_quoted) < 1000 then
          v_quoted := v_quoted || '""';
        end if;
        v_closed := '';
        continue;
      end if;
      if v_closed = 'ident' and cardinality(raw) < cardinality(words) then
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
        if cardinality(words) < 400 then
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

    v_upper := upper(v_token);
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
      if length(v_previous) < 1000 then
        v_previous := v_previous || v_upper;
        if v_kept then
          words[cardinality(words)] := v_previous;
          raw[cardinality(raw)] := raw[cardinality(raw)] || v_token;
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
    elsif v_upper = 'INTO' and v_parens = 0 and v_previous not in ('INSERT', 'MERGE', 'AS', '.')
      then
      makes_table := true;
    -- It may be the name of a column. So it counts only where a value can begin; an END too many
    -- hides nothing.
    elsif v_upper = 'CASE' and v_atomic > 0
      and (v_previous ~ '^[(,=<>+*/%^~!@#&|-]$'
          or v_previous in ('SELECT', 'DISTINCT', 'ALL', 'RETURN', 'RETURNING',
      'WHEN', 'THEN', 'ELSE', 'CASE', 'AND', 'OR', 'NOT', 'BY', 'WHERE', 'HAVING', 'ON', 'BETWEEN',
      'LIKE', 'ILIKE', 'TO', 'FROM', 'FOR', 'LIMIT',
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
    v_kept := cardinality(words) < 400
      or (v_upper in ('STDIN', 'STDOUT') and not v_upper = any (words));
    if v_kept then
      words := words || v_upper;
      if v_token <> '"' then
        raw := raw || v_token;
      end if;
      v_rule := v_rule or (v_upper = 'RULE' and cardinality(words) between 2 and 4);
    end if;
  end loop;
  if v_closed = 'ident' and cardinality(raw) < cardinality(words) then
    raw := raw || ('"' || v_quoted || '"');
  end if;
  finished := v_state in ('plain', 'line') and v_atomic = 0;
end
$body$;

-- Settings, for operators.

create or replace function jobs.configure(name text, value text)
returns text
language plpgsql volatile
set search_path = pg_catalog, pg_temp
as $$
begin
  perform jobs_internal.assert_member('jobs_operator', 'configure');
  return jobs_internal.configure(name, value);
end
$$;
comment on function jobs.configure(text, text) is 'Changes a setting of this installation '
  '(jobs.settings); returns the old value. New worker sessions use it. For operators. Errors: '
  'PW012, PW026.';

create or replace function jobs.set_retry_rule(pattern text, retry boolean, why text default '')
returns boolean
language plpgsql volatile
set search_path = pg_catalog, pg_temp
as $$
begin
  perform jobs_internal.assert_member('jobs_operator', 'set_retry_rule');
  return jobs_internal.set_retry_rule(pattern, retry, why);
end
$$;
comment on function jobs.set_retry_rule(text, boolean, text) is
'Says whether an error is worth another attempt: pattern is an SQLSTATE, a class of two '
'characters, or * for all others; the longest pattern
that fits decides. retry null removes the rule. For operators. Errors: PW026.';

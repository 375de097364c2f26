-- What is behind jobs.configure and jobs.set_retry_rule.

-- Does the work of jobs.configure.
create or replace function jobs_internal.configure(name text, value text)
returns text
language plpgsql volatile security definer
set search_path = pg_catalog, pg_temp
as $$
declare
  v_old text;
  v_least integer := case when name in ('chunk_jobs', 'claim_jobs', 'claim_ms', 'lease_seconds',
      'session_seconds', 'session_jobs',
    'sessions_per_owner') then 1 else 0 end;
  v_most integer := case when name = 'chunk_jobs' then 1000 else 999999999 end;
  v_words text[] := case when name in ('measure_cost', 'statement_snapshots')
        then array['on', 'off']
      when name = 'deadlock_risk_cancels' then array['own', 'any'] end;
  v_good boolean;
begin
  select s.value into v_old from jobs_internal.setting as s
  where s.name = configure.name for update;
  if not found then
    raise exception using errcode = 'PW012',
      message = format('pyworker has no setting "%s"', left(name, 100)),
      detail = 'See jobs.settings.', hint = 'Check the name. A retry cannot help.';
  end if;
  -- One after the other: what is no number cannot be compared.
  v_good := case when value is null then false when v_words is not null then value = any (v_words)
    when value !~ '^[0-9]{1,9}$' then false
    else value::integer between v_least and v_most end;
  if not v_good then
    raise exception using errcode = 'PW026',
      message = format('%s is no value for %s', coalesce('"' || left(value, 100) || '"', 'null'),
          name),
      detail = (select format('%s, in %s.', s.description, s.unit) from jobs_internal.setting as s
          where s.name = configure.name),
      hint = format('The range of %s: %s. A retry cannot help.', name,
        case when v_words is not null then array_to_string(v_words, ' or ')
          else format('a whole number from %s to %s', v_least, v_most) end);
  end if;
  update jobs_internal.setting as s set value = configure.value where s.name = configure.name;
  perform jobs_internal.record_audit('configure', 'setting ' || name, to_jsonb(v_old),
      to_jsonb(configure.value));
  return v_old;
end
$$;

-- Does the work of jobs.set_retry_rule.
create or replace function jobs_internal.set_retry_rule(pattern text, retry boolean,
    why text default '')
returns boolean
language plpgsql volatile security definer
set search_path = pg_catalog, pg_temp
as $$
begin
  if pattern is null or octet_length(pattern) > 5 or pattern !~ '^([0-9A-Z]{5}|[0-9A-Z]{2}|[*])$'
    or (pattern = '*' and retry is null) then
    raise exception using errcode = 'PW026',
      message = format('"%s" is no pattern of a retry rule', left(pattern, 100)),
      detail = 'A pattern is an SQLSTATE, a class of two characters, or *.',
        hint = 'See jobs.retry_rules. A retry cannot help.';
  end if;
  perform jobs_internal.record_audit('set_retry_rule', 'pattern ' || set_retry_rule.pattern,
    (select to_jsonb(r) from jobs_internal.retry_rule as r
        where r.pattern = set_retry_rule.pattern),
    case when set_retry_rule.retry is not null
      then jsonb_build_object('retry', set_retry_rule.retry, 'why', set_retry_rule.why) end);
  if retry is null then
    delete from jobs_internal.retry_rule as r where r.pattern = set_retry_rule.pattern;
  else
    insert into jobs_internal.retry_rule (pattern, retry, why)
      values (set_retry_rule.pattern, set_retry_rule.retry, coalesce(set_retry_rule.why, ''))
    on conflict on constraint retry_rule_pkey do update set retry = excluded.retry,
      why = excluded.why;
  end if;
  return true;
end
$$;

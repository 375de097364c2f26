-- Making a batch. What it calls when it has ended is looked up and cast now, with the rights and
-- the path of the caller; later only data is inserted, and no code of an owner's runs.

-- Read the options of the callbacks of a batch, which are those of jobs.enqueue. p_batch: with its
-- name. Returns: the same with all but id and bytes. Errors: those of the enqueue functions, PW117.
create or replace function jobs_internal.checked_batch(p_batch jobs_internal.batch,
    p_options jsonb)
returns jobs_internal.batch
language plpgsql stable security definer
set search_path = pg_catalog, pg_temp
set exit_on_error = off
as $$
declare
  v jobs_internal.batch := p_batch;
  v_checked record;
  v_key text := 'timeout';
begin
  if coalesce(v.name, '') !~ '[^[:space:]]' or v.name ~ '[[:cntrl:]]' or length(v.name) > 200 then
    perform jobs_internal.refuse('PW117', 'the name of a batch must be one line of 1 to 200 '
      'characters', format('It is: %s.', coalesce(quote_literal(left(v.name, 210)), 'null')));
  end if;
  v.name := btrim(v.name);
  v.options := jobs_internal.checked_options(p_options, 'create_batch', false);
  v.options := nullif(v.options - array['queue', 'priority', 'timeout', 'max_attempts', 'settings',
      'note'], '{}');
  begin
    v.timeout := (p_options ->> 'timeout')::interval;
    v_key := 'max_attempts';
    v.max_attempts := (p_options ->> 'max_attempts')::integer;
  exception
    when data_exception then
      perform jobs_internal.refuse('PW117', format('the option "%s" cannot be read', v_key),
        format('It is %s; expected is %s.', left(p_options ->> v_key, 100),
          case v_key when 'timeout' then 'an interval, as 5 minutes' else 'a whole number' end));
  end;
  v.settings := nullif(p_options -> 'settings', '{}');
  v.note := nullif(p_options -> 'note', '{}');
  v.queue := coalesce(p_options ->> 'queue', 'default');
  v_checked := jobs_internal.check_options(v.queue, v.timeout, v.max_attempts, null,
      p_options ->> 'priority', v.note);
  v.owner := v_checked.owner;
  v.priority := v_checked.priority;
  if v.settings is not null then
    perform jobs_internal.assert_size(v.settings, 'settings', 65536);
  end if;
  return v;
end
$$;

-- Does the work of jobs.create_batch. p_kinds, p_templates, p_args: its callbacks.
-- Writes: batch, batch_callback, batch_count. Errors: those of checked_batch, PW018, PW060.
create or replace function jobs_internal.store_batch(p_name text, p_kinds text[],
    p_templates integer[], p_args jsonb[], p_options jsonb)
returns bigint
language plpgsql volatile security definer
set search_path = pg_catalog, pg_temp
as $$
declare
  v jobs_internal.batch;
begin
  if not jobs_internal.is_original() then
    perform jobs_internal.assert_not_copy();
  end if;
  v.name := p_name;
  v := jobs_internal.checked_batch(v, coalesce(p_options, '{}'));
  perform jobs_internal.record_role_name(v.owner);
  perform jobs_internal.assert_size(a, 'args', 1048576) from unnest(p_args) as a
  where a is not null;
  v.bytes := jobs_internal.text_bytes(null, v.settings, v.note, v.options)
    + coalesce((select max(jobs_internal.text_bytes(a, null, null, null))
        from unnest(p_args) as a), 0);
  insert into jobs_internal.batch (owner, name, queue, priority, timeout, max_attempts, settings,
      note, options, bytes)
  values (v.owner, v.name, v.queue, v.priority, v.timeout, v.max_attempts, v.settings, v.note,
    v.options, v.bytes)
  returning id into v.id;
  insert into jobs_internal.batch_callback (batch_id, kind, call_template_id, args)
  select v.id, c.kind, c.template, c.args
  from unnest(p_kinds, p_templates, p_args) as c(kind, template, args);
  insert into jobs_internal.batch_count (batch_id) values (v.id);
  return v.id;
end
$$;

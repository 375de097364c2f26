-- The note of a job, added to later: what was found, what came of it. It is the owner's, or an
-- operator's who says so; what the engine knows of the job stays as it is.

-- Does the work of jobs.note. Locks: job. Writes: job, finished, audit.
create or replace function jobs_internal.note(id bigint, note jsonb)
returns jsonb
language plpgsql volatile security definer
set search_path = pg_catalog, pg_temp
as $$
declare
  v_owner oid;
  v_before jsonb;
  v_after jsonb;
  v_live boolean := true;
begin
  -- whose it is first: the row of another's job is neither waited for nor locked
  perform jobs_internal.assert_controls(note.id, coalesce(
      (select j.owner from jobs_internal.job as j where j.id = note.id),
      (select f.owner from jobs_internal.finished as f where f.id = note.id)));
  select j.owner, j.note into v_owner, v_before from jobs_internal.job as j where j.id = note.id
    for no key update;
  if not found then
    v_live := false;
    select f.owner, f.note into v_owner, v_before from jobs_internal.finished as f
    where f.id = note.id for no key update;
  end if;
  perform jobs_internal.assert_controls(note.id, v_owner);
  if jsonb_typeof(note.note) is distinct from 'object' then
    raise exception using errcode = 'PW011', message = 'note must be a JSON object',
      detail = format('It is %s.', coalesce('of type ' || jsonb_typeof(note.note), 'null')),
      hint = 'Pass {"key": value, ...}. A retry cannot help.';
  end if;
  v_after := coalesce(v_before, '{}') || note.note;
  perform jobs_internal.assert_size(v_after, 'note', 65536);
  if v_live then
    update jobs_internal.job as j set note = v_after where j.id = note.id;
  else
    update jobs_internal.finished as f set note = v_after where f.id = note.id;
  end if;
  perform jobs_internal.record_control('note', note.id, v_owner, null,
      jsonb_build_object('keys', (select jsonb_agg(k) from jsonb_object_keys(note.note) as k)));
  return v_after;
end
$$;

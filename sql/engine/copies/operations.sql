-- What long operations noted of relations, in a database that was restored from a dump.

-- Forget what was noted by the numbers of relations: here those are the numbers of others. What a
-- lost attempt did cannot be judged by it, nor can a way back be taken. Does nothing where the
-- relations have their numbers: in a copy of the files.
-- Writes: statement, finished_statement, operation, step.
create or replace function jobs_internal.forget_relations()
returns void
language plpgsql volatile security definer
set search_path = pg_catalog, pg_temp
as $$
declare
  v_why constant text := 'it was done in the database that this is a copy of';
  v_missing constant jsonb := jsonb_build_object('missing', v_why);
begin
  if exists (select from jobs_internal.installation as h where h.table_oid = h.tableoid) then
    return;
  end if;
  update jobs_internal.statement as s
  set identity = case when j.verify then '{"elsewhere": true}'::jsonb end
  from jobs_internal.job as j
  where j.id = s.job_id and s.identity is not null;
  update jobs_internal.finished_statement as s set identity = null where s.identity is not null;
  update jobs_internal.step as s
  set identity = null, way_back = case when s.way_back is null or s.way_back ? 'given'
    then s.way_back else s.way_back - array['index', 'relations'] || v_missing end
  where s.identity is not null or s.way_back is not null;
  update jobs_internal.operation as o
  set object = null, relations = null,
    before = case when not w.noted then o.before
      else o.before || jsonb_build_object('way_back', v_missing) end,
    undo_sql = case when not w.noted then o.undo_sql end,
    undo_missing = case when w.noted then v_why else o.undo_missing end
  from (
    select n.job_id, n.before ? 'way_back' and not n.before -> 'way_back' ? 'given'
      or exists (select from jobs_internal.step as s where s.job_id = n.job_id
        and s.way_back ->> 'missing' = v_why) as noted
    from jobs_internal.operation as n
  ) as w
  where w.job_id = o.job_id;
end
$$;

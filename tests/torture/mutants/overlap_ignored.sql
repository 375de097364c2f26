-- The job of an occurrence starts while the one before is not finished, whatever overlap says.

-- Replaces jobs_internal.unfinished_of, md5 d41d8cd98f00b204e9800998ecf8427e.
create or replace function jobs_internal.unfinished_of(p_schedule integer)
returns bigint[]
language sql stable security definer
set search_path = pg_catalog, pg_temp
begin atomic
  select array(
    select j.id
    from (
      select r.job_id from jobs_internal.schedule_run as r
      where r.schedule_id = p_schedule and r.job_id is null
      order by r.job_id desc
      limit 200
    ) as r
    join jobs_internal.job as j on j.id = r.job_id
    order by j.id);
end;

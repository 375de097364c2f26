-- Successes are deleted before a supervisor has logged them.

-- Replaces jobs_internal.take_outcomes, md5 bb7ce1435eaf1f956d1393778ed4340d.
create or replace function jobs_internal.take_outcomes(p_limit integer)
returns setof jsonb
language plpgsql volatile security definer
set search_path = pg_catalog, pg_temp
set exit_on_error = off
set lock_timeout = '50ms'
as $$
begin
  return query
  with seen as (
    select o.id, o.bytes from jobs_internal.outbox as o order by o.id
    limit p_limit for update skip locked
  ), taken as (
    select r.id
    from (select s.id, sum(s.bytes) over (order by s.id) - s.bytes as before from seen as s) as r
    where r.before < 4000000  -- the first one always
  )
  delete from jobs_internal.outbox as f
  where f.id in (select t.id from taken as t)
  returning f.body || jsonb_build_object('at', f.at, 'succeeded', '[]'::jsonb);
  perform jobs_internal.clear_failure('round', 'outcomes');
exception
  when lock_not_available then
    perform jobs_internal.note_failure('round', 'outcomes',
        jobs_internal.error_object(sqlstate, sqlerrm));
end
$$;

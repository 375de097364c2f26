-- How many jobs of a key run at once.

create or replace function jobs.set_concurrency(key text, max integer)
returns void
language plpgsql volatile
set search_path = pg_catalog, pg_temp
as $$
begin
  perform jobs_internal.assert_member('jobs_producer', 'set_concurrency');
  perform jobs_internal.set_concurrency(key, max);
end
$$;
comment on function jobs.set_concurrency(text, integer) is
'Says how many of the caller''s jobs with this concurrency_key run at once, 1 to 1000; without it '
'one does. 0: none is begun; null: as without it.
Where there are fewer than before, those that are there go on. See jobs.concurrency_keys. '
'Errors: PW119, PW120.';

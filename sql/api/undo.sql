-- Taking back what a job did.

create or replace function jobs.undo(id bigint)
returns bigint
language plpgsql volatile
set search_path = pg_catalog, pg_temp
as $$
declare
  v_id bigint;
begin
  perform jobs_internal.assert_member('jobs_producer', 'undo');
  v_id := jobs_internal.undo(id);
  perform jobs_internal.note_object(v_id);
  return v_id;
end
$$;
comment on function jobs.undo(bigint) is
'Enqueues the way back of a statement job as a job of its own, in the same queue; returns its id.
The way back is the rollback that was given, else what is known of its kind: a new index is '
'dropped, a dropped one made again, a constraint dropped, a partition attached or detached again, '
'the statistics of ANALYZE put back (PostgreSQL 18). Of a job of several steps each done step is '
'taken back, the last one first. jobs.plan says before what it will be.
Errors: PW030; PW064 it has not ended, PW065 it is taken back already, PW066 there is no way back, '
'PW067 it would destroy what came later: an index with another definition now, a name that is '
'taken, ...; 55P03 another session is taking it back, a retry helps. What was there before the '
'job, or came while it waited, is not its own, and stays.';

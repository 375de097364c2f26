-- Templates that calls of one statement for many jobs are made from.
--
-- Templates that are there do not have that text. They are retired, as unused ones are: the next
-- call of each function makes a new one, and they go when the last job that has them is gone.

alter table jobs_internal.call_template add column chunk_call text;
comment on column jobs_internal.call_template.chunk_call
  is 'Expression that calls it for a row pyworker_item of a chunk, in one statement for many of them; '
  'null: each call is a statement of its own';
update jobs_internal.call_template set retired_by = pg_current_xact_id()
where retired_by is null and not procedure;
alter type jobs_internal.work_item add attribute chunk_call text;

-- The decision how an item of a claim runs: in a chunk, alone, or in a child session.

-- How an item of a claim runs. The first line that holds decides:
--
--   is_queued       no: the message is stale, nothing is left to run              gone
--   is_cancelled    yes: it is cancelled before it begins                         stop
--   is_late         yes: its deadline has passed: open_chunk cancels it           late
--   is_shut         yes: a window keeps it from starting, or it stands behind
--                   others of its key: open_chunk puts it back                    shut
--   is_top_level    yes: a procedure, or a statement that allows no transaction   child
--   is_statement    yes: its effects and its duration are not known               alone
--   args_bytes      over 8000: those of a whole claim might be more than an
--                   array holds; they are read at its start, as large
--                   statements are, so that no session is away for longer than
--                   one may be whose job cannot be seen (cancel_hidden_chunks)    alone
--   has_settings    yes: they are set for it alone                                alone
--   may_have_run    yes: delivered before, in doubt, interrupted, or a suspect
--                   of a crash; its start is committed first. Or a window of its
--                   closes soon: others of a chunk would put its start off        alone
--   shares_commits  no: its queue wants a commit for each job                     alone
--   is_published    yes: whether it still is, is asked at its start               alone
--   avg_ms          null: how long the function takes is not known; or more than
--                   short_ms: the other jobs of a chunk would wait for it         alone
--   renames         yes: it changes application_name, by which a job in a chunk
--                   is known                                                      alone
--   is_current      no: the function is not the one that the call was made for    alone
--   else            a known, short function                                       chunk
--
-- No SET clause: so that it becomes a part of the query that calls it, once for each job.
create or replace function jobs_internal.run_mode(
  is_queued boolean,
  is_cancelled boolean,
  is_late boolean,
  is_shut boolean,
  is_top_level boolean,
  is_statement boolean,
  is_current boolean,
  avg_ms double precision,
  short_ms double precision,
  renames boolean,
  args_bytes integer,
  has_settings boolean,
  is_published boolean,
  may_have_run boolean,
  shares_commits boolean
)
returns text
language sql immutable
begin atomic
  select case
    when not is_queued then 'gone'
    when is_cancelled then 'stop'
    when is_late then 'late'
    when is_shut then 'shut'
    when is_top_level then 'child'
    when is_statement or args_bytes > 8000 or has_settings or may_have_run or not shares_commits
      or is_published or avg_ms is null or avg_ms > short_ms or renames or not is_current
      then 'alone'
    else 'chunk'
  end;
end;

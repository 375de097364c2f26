-- Who may do what with windows, beside setup/grants.sql.

grant select on jobs.windows, jobs.window_list
to jobs_producer, jobs_runner, jobs_operator, jobs_reader, jobs_supervisor;
grant execute on function jobs_internal.window_figures()
to jobs_producer, jobs_runner, jobs_operator, jobs_reader, jobs_supervisor;

-- Doors: each says itself for which roles it is.
grant execute on function
  jobs.create_window(text, text, interval, text, text),
  jobs.alter_window(text, text, interval, text, text),
  jobs.drop_window(text), jobs.open_window(text, interval), jobs.close_window(text)
to jobs_producer, jobs_runner, jobs_operator, jobs_reader, jobs_supervisor;

-- What those call with the caller's rights.
grant execute on function
  jobs_internal.create_window(text, text, interval, text, text),
  jobs_internal.alter_window(text, text, interval, text, text),
  jobs_internal.drop_window(text), jobs_internal.open_window(text, interval),
  jobs_internal.close_window(text)
to jobs_operator;

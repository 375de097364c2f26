-- Schedules get a type for what was read of them, and a list of the time zones that they may name.

-- A schedule, as it was read. Of five fields the numbers that match, each sorted and not empty; of
-- `every` and `after` only the interval.
create type jobs_internal.timetable as (
  minutes integer[],     -- 0 to 59
  hours integer[],       -- 0 to 23
  days integer[],        -- 1 to 31; 32: the last of the month
  months integer[],      -- 1 to 12
  weekdays integer[],    -- 0 to 6; 0: Sunday
  both_days boolean,     -- day and weekday must both match, because one of them begins with *
  wild boolean,          -- minute or hour has a *: it follows elapsed time when a clock is set
  every interval,        -- elapsed time from an anchor; as the next, without days and months
  after_end interval     -- elapsed time from the end of the last run
);

create table jobs_internal.time_zone (
  folded text primary key,
  name text not null
);
comment on table jobs_internal.time_zone is 'Time zones that schedules may name: those that the '
  'server has, without abbreviations and POSIX forms. Its own list takes 30 ms';
comment on column jobs_internal.time_zone.folded is 'Name in lower case';
comment on column jobs_internal.time_zone.name is 'Name';

-- Of long operations: an index for jobs.health, and what some columns say.
create index operation_built_idx on jobs_internal.operation ((before #>> '{way_back,index}'))
  where before #>> '{way_back,index}' is not null;
comment on column jobs_internal.operation.lock_attempts
  is 'How often it gave up waiting for a lock: counted for each step, and anew after jobs.retry';
comment on column jobs_internal.operation.yields
  is 'How often it gave way to a session that waited for its lock, counted in the same way';
comment on column jobs_internal.operation.step_asides is 'How often it gave way because it would '
  'have ended in a deadlock, counted in the same way';

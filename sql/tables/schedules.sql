-- Schedules, and the time zones that they may name.

create table jobs_internal.time_zone (
  folded text primary key,
  name text not null
);
comment on table jobs_internal.time_zone is 'Time zones that schedules may name: those that the '
  'server has, without abbreviations and POSIX forms. Its own list takes 30 ms';
comment on column jobs_internal.time_zone.folded is 'Name in lower case';
comment on column jobs_internal.time_zone.name is 'Name';

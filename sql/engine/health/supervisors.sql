-- Checks of jobs.health: supervisors, and what they could not do.

-- Supervisors that made a round within the last 30 seconds, or of which it cannot be known, count.
create or replace function jobs_internal.awake_supervisors()
returns bigint
language sql volatile
set search_path = pg_catalog, pg_temp
begin atomic
  select count(*) from jobs_internal.live_supervisors() as s
  where coalesce(s.last_seen > clock_timestamp() - interval '30 seconds', true);
end;

-- Without a supervisor that makes its rounds, only jobs.start() runs jobs.
create or replace function jobs_internal.health_supervisors(out status text, out detail text,
    out remedy text)
language sql volatile
set search_path = pg_catalog, pg_temp
begin atomic
  select case when s.awake > 0 and s.unseen = 0 then 'ok' else 'warning' end,
    format('%s connected', s.connected)
      || case when s.awake < s.connected
        then format(', %s of them silent for 30 s', s.connected - s.awake) else '' end
      || case when s.unseen > 0
        then ', track_activities is off: whether they make their rounds is not known' else '' end,
    case when s.connected = 0 then 'start one: pyworker run; or: select jobs.start()'
      when s.awake = 0
        then 'look what its process does; another pyworker run may be started beside it'
      when s.unseen > 0 then 'as a superuser: alter system set track_activities = on;  select '
        'pg_reload_conf();  (or where else it was set: alter role, alter database)' end
  from (
    select count(*), count(*) filter (where l.last_seen is null),
      jobs_internal.awake_supervisors()
    from jobs_internal.live_supervisors() as l
  ) as s (connected, unseen, awake);
end;

-- Programs of different versions: one was not started anew after an upgrade.
create or replace function jobs_internal.health_versions(out status text, out detail text,
    out remedy text)
language sql volatile
set search_path = pg_catalog, pg_temp
begin atomic
  select case when v.versions > 1 then 'warning' else 'ok' end,
    case v.versions when 0 then 'no supervisor' when 1 then 'all supervisors are of one version'
      else 'supervisors of different versions: ' || v.said end,
    case when v.versions > 1
      then 'end those of the older version, and start them with the newer one' end
  from (
    select count(distinct s.version),
      string_agg(format('%s (%s)', s.version, s.name), ', ' order by s.version, s.name)
    from jobs_internal.live_supervisors() as s
  ) as v (versions, said);
end;

-- Owners that a supervisor tried in vain to connect as, or to start a session of.
create or replace function jobs_internal.health_unreached_owners(out status text, out detail text,
    out remedy text)
language sql volatile
set search_path = pg_catalog, pg_temp
begin atomic
  select case when u.said is null then 'ok' else 'warning' end,
    coalesce(u.said, 'none that a supervisor tried'),
    case when u.said is not null then 'let the supervisor connect as them, and them start '
      'sessions: see docs/operations.md: How the supervisor connects as each owner; '
      '`pyworker check`' end
  from (
    select string_agg(o.said, '; ' order by o.refused)
    from (
      select e.refused, case when e.refused then 'a supervisor cannot start a session of: '
        else 'a supervisor cannot connect as: ' end
        || string_agg(format('%s since %s (%s says: %s)', pg_get_userbyid(u.owner),
              u.since::timestamptz(0), s.name, u.reason), ', ' order by u.since) as said
      from jobs_internal.unreached_owner as u
      join jobs_internal.supervisor as s on s.id = u.supervisor_id
        and jobs_internal.alive(s.pid, s.backend_start)
      cross join lateral (select u.reason like 'launch refused: %' as refused) as e
      group by e.refused
    ) as o
  ) as u (said);
end;

-- What fails in rounds, and not only for a moment: how many, and the first five.
create or replace function jobs_internal.health_rounds(out status text, out detail text,
    out remedy text)
language sql volatile
set search_path = pg_catalog, pg_temp
begin atomic
  select case when f.failing > 0 then 'warning' else 'ok' end,
    case when f.failing > 0 then format('%s tried again, all else goes on: %s',
        jobs_internal.counted(f.failing, 'item of a supervisor''s round fails and is',
          'items of a supervisor''s round fail and are'), f.said)
      else 'nothing in them fails' end,
    case when f.failing > 0
      then 'remove what the error names: end the transaction that holds a row or table '
      '(pg_stat_activity), drop or correct the event trigger; '
      'see docs/operations.md: What fails in a round' end
  from (
    select count(*),
      string_agg(jobs_internal.failure_text(o.failure), '; ' order by o.n) filter (where o.n <= 5)
    from (select l as failure, row_number() over (order by l.since, l.duty, l.item) as n
      from jobs_internal.lasting_failures() as l) as o
  ) as f (failing, said);
end;

-- Outcomes that no supervisor has logged. There may be millions: they are counted up to a bound.
create or replace function jobs_internal.health_unlogged_outcomes(out status text, out detail text,
    out remedy text)
language sql stable
set search_path = pg_catalog, pg_temp
begin atomic
  select case when o.commits > 100000 then 'warning' else 'ok' end,
    jobs_internal.counted(o.commits, 'commit'),
    case when o.commits > 100000
      then 'a supervisor logs them; they are dropped after 7 days' end
  from (select count(*) from (select from jobs_internal.outbox limit 100001) as l) as o (commits);
end;

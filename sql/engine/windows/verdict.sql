-- Whether a job may start now, as far as its windows go: the one that it names, and that of its
-- queue. It may if each is open, and it is expected to end before that closes.

-- What keeps a job from starting at a moment. code: gone (there is no such window), closed, or
-- too_long (it does not fit what is left of it); null: nothing. closes_at: of the opening that it
-- does not fit, else -infinity; until: when that may change.
-- Where a window lets jobs finish (on_close), one whose work is under way goes on in spite of it:
-- it snoozed after a run, or a step of it is done, and no attempt has failed since.
create or replace function jobs_internal.window_hindrance(p_job jobs_internal.job,
    p_now timestamptz default clock_timestamp(), out name text, out code text, out reason text,
    out needs interval, out until timestamptz, out closes_at timestamptz)
returns record
language plpgsql stable security definer
set search_path = pg_catalog, pg_temp
as $$
declare
  v_window record;
  v_expected record;
  v_of_queue text := (select q.window_name from jobs_internal.queue as q
    where q.id = p_job.queue_id);
begin
  for v_window in
    select n.name, w.name is not null as is_there, w.on_close, w.duration, s.opened_at,
      s.closes_at, s.next_opens_at
    from (select p_job.options ->> 'window' as name
      union select v_of_queue) as n
    left join jobs_internal.run_window as w on w.name = n.name
    left join jobs_internal.window_state as s on s.name = n.name
    where n.name is not null
    order by n.name = v_of_queue, n.name
  loop
    continue when v_window.on_close = 'finish' and p_job.error is null
      and (p_job.snoozes > 0 or exists (select from jobs_internal.step as t
        where t.job_id = p_job.id and t.state = 'done'));
    name := v_window.name;
    closes_at := '-infinity';
    if not v_window.is_there then
      code := 'gone';
      reason := format('its window %s was dropped', name);
      return;
    elsif (p_now >= v_window.opened_at and p_now < v_window.closes_at) is not true then
      code := 'closed';
      until := v_window.next_opens_at;
      reason := format('%s window %s is closed%s',
          case when name = v_of_queue then 'its queue''s' else 'its' end, name,
          coalesce(format(': it opens at %s', until::timestamptz(0)), ''));
      return;
    end if;
    v_expected := jobs_internal.expected_run(p_job);
    if v_expected.needs is null then
      continue when p_now + p_job.timeout <= v_window.closes_at
        or p_now < v_window.opened_at + (v_window.closes_at - v_window.opened_at) / 4;
      reason := format('it has never run here, and %s its window %s stays open: such a job '
          'starts in the first quarter of it',
          case when p_job.timeout is null then 'has no timeout that would end it while'
            else format('its timeout of %s is longer than', jobs_internal.elapsed(p_job.timeout))
          end, name);
    else
      continue when p_now + v_expected.needs <= v_window.closes_at;
      needs := v_expected.needs;
      reason := format('it does not fit its window %s, which closes at %s: it needs %s (%s)', name,
          v_window.closes_at::timestamptz(0), jobs_internal.elapsed(needs), v_expected.basis);
      if needs > v_window.duration then
        reason := format('%s, and the window is open for %s only', reason,
            jobs_internal.elapsed(v_window.duration));
      end if;
    end if;
    code := 'too_long';
    until := v_window.next_opens_at;
    closes_at := v_window.closes_at;
    return;
  end loop;
  name := null;
  closes_at := null;
end
$$;

-- Whether a window keeps a queued job from starting now. Stable, though it asks the clock: see
-- is_late.
create or replace function jobs_internal.is_shut(p_job bigint)
returns boolean
language sql stable security definer
set search_path = pg_catalog, pg_temp
begin atomic
  select (jobs_internal.window_hindrance(j)).code is not null
  from jobs_internal.job as j where j.id = p_job;
end;

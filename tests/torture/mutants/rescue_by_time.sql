-- A session that works for long is taken for dead.

-- Replaces jobs_internal.rescue, md5 2d16b3b2b4cbbedfdf04f319c4d4485f.
create or replace function jobs_internal.rescue(p_owner oid default null)
returns integer
language plpgsql volatile security definer
set search_path = pg_catalog, pg_temp
as $$
declare
  v_session jobs_internal.session;
  v_count integer := 0;
  v_dead bigint[];
  v_found timestamptz;
  v_until timestamptz := clock_timestamp() + interval '0.3 seconds';
  v_id bigint;
  v_seen_to boolean;
  v_error jsonb;
begin
  if p_owner is null then
    begin
      perform jobs_internal.note_crash();
      if exists (select from jobs_internal.server as s where s.epoch <> jobs_internal.epoch()) then
        return 0;  -- another session finds out just now what to blame
      end if;
    exception
      when others or query_canceled then
        -- No job can be blamed for the crash of the server, and that keeps none from help.
        perform jobs_internal.note_failure('round', 'crash',
            jobs_internal.error_object(sqlstate, sqlerrm));
    end;
  end if;
  v_dead := array(
    select s.id from jobs_internal.session as s
    left join jobs_internal.duty_failure as f on f.duty = 'rescue' and f.item = s.id::text
    where s.job_id in (select j.id from jobs_internal.job as j
        where j.started_at < clock_timestamp() - interval '0.4 s')
        and (p_owner is null or s.owner = p_owner)
      and (p_owner is not null or f.item is null or not jobs_internal.is_future(f.retry_at))
    order by f.retry_at nulls first, s.id);
  v_found := clock_timestamp();
  foreach v_id in array v_dead loop
    exit when p_owner is null and not jobs_internal.has_room(v_until);
    select s.* into v_session from jobs_internal.session as s
    where s.id = v_id for update skip locked;
    continue when not found;
    -- What we know of the processes may be older than that row: a session that has just opened is
    -- not dead.
    perform pg_stat_clear_snapshot();

    v_error := null;
    begin
      v_seen_to := jobs_internal.rescue_one(v_session, v_found);
      if v_seen_to is null then
        v_error := jobs_internal.error_object('55P03', 'messages of a dead session are locked',
            'Another transaction of the same owner holds them.',
          'They are taken back when it ends, or when their lease does.');
      end if;
    exception
      when others then
        v_error := jobs_internal.error_object(sqlstate, sqlerrm);
      when query_canceled then
        if p_owner is not null then
          raise;
        end if;
        v_error := jobs_internal.error_object(sqlstate, sqlerrm);
    end;
    v_count := v_count + (v_error is null and v_seen_to)::integer;
    if v_error is not null and p_owner is not null then
      raise warning using message = format('session %s cannot be rescued now: %s', v_session.id,
          v_error ->> 'message');
    elsif v_error is not null then
      perform jobs_internal.note_failure('rescue', v_id::text, v_error,
        (select l.queue_id from jobs_internal.lane as l where l.id = v_session.lane_id),
          v_session.owner);
      -- The slot that it had is everybody's, unless its child still works.
      if not exists (select from jobs_internal.job as j
        where j.id = v_session.job_id and j.session_id = v_id and j.state = 'running'
          and jobs_internal.alive(j.child_pid, j.child_start))
      then
        perform jobs_internal.free_slots(v_id);
      end if;
    elsif p_owner is null then
      perform jobs_internal.clear_failure('rescue', v_id::text);
    end if;
  end loop;
  if p_owner is null then
    perform jobs_internal.sweep_slots();
  end if;
  return v_count;
end
$$;

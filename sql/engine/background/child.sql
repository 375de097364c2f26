-- Child sessions, each for one statement that allows no transaction: launched, waited for, read and
-- let go of. Invoker on purpose: a child must be launched and watched by the owner's own session.

-- Launch one statement. The label carries job and attempt, for a person who looks; it is no
-- identity.
create or replace function jobs_internal.launch_child(p_statement text, p_label text,
    out pid integer, out cookie bigint)
language plpgsql volatile
as $$
begin
  execute pg_catalog.format('select h.pid, h.cookie from %s($1, $2, $3) as h',
      jobs_internal.background('submit'))
  into pid, cookie using p_statement, jobs_internal.setting('child_queue_bytes')::integer,
    'pyworker ' operator(pg_catalog.||) p_label;
end
$$;

-- Launch a CALL whose row is read. As launch_child, which promises that rows are not read.
create or replace function jobs_internal.launch_call(p_call text, p_label text, out pid integer,
    out cookie bigint)
language plpgsql volatile
as $$
begin
  execute pg_catalog.format('select h.pid, h.cookie from %s($1, $2, $3) as h',
      jobs_internal.background('launch'))
  into pid, cookie using p_call, jobs_internal.setting('child_queue_bytes')::integer,
    'pyworker ' operator(pg_catalog.||) p_label;
end
$$;

-- Wait for a child for some milliseconds; true when it has ended. Ends this session when the
-- postmaster is gone, which the wait itself never notices: the child's slot stays as it was.
create or replace function jobs_internal.wait_child(p_pid integer, p_cookie bigint, p_ms integer)
returns boolean
language plpgsql volatile
as $$
declare
  v_ended boolean;
begin
  execute pg_catalog.format('select %s($1, $2, $3)', jobs_internal.background('wait')) into v_ended
    using p_pid, p_cookie, p_ms;
  if not v_ended and p_ms operator(pg_catalog.>=) 20 then
    perform pg_catalog.pg_sleep(0.001);
  end if;
  return v_ended;
end
$$;

-- How a child ended, with the full error.
create or replace function jobs_internal.child_outcome(
  p_pid integer,
  p_cookie bigint,
  out completed boolean,
  out has_error boolean,
  out command_tag text,
  out sqlstate text,
  out message text,
  out detail text,
  out hint text,
  out context text,
  out table_name text,
  out constraint_name text
)
language plpgsql volatile
as $$
begin
  execute pg_catalog.format('select r.completed, r.has_error, r.command_tag from %s($1, $2) as r',
      jobs_internal.background('result_info'))
  into completed, has_error, command_tag using p_pid, p_cookie;
  if has_error then
    execute pg_catalog.format('select e.sqlstate, e.message, e.detail, e.hint, e.context, '
      'e.table_name, e.constraint_name from %s($1, $2) as e',
      jobs_internal.background('error_info'))
    into sqlstate, message, detail, hint, context, table_name, constraint_name using p_pid,
      p_cookie;
  end if;
end
$$;

-- The row of a CALL that has ended well, as one object, as OUT parameters of functions come back;
-- and let go of the child, which the reading does. Returns {"unread": why} where it cannot be kept:
-- what the CALL did is done, and no error changes that.
create or replace function jobs_internal.read_call(p_pid integer, p_cookie bigint, p_columns text)
returns jsonb
language plpgsql volatile
as $$
declare
  v_row pg_catalog.jsonb;
begin
  execute pg_catalog.format('select pg_catalog.to_jsonb(r) from %s($1, $2) as r(%s)',
      jobs_internal.background('result'), p_columns)
  into v_row using p_pid, p_cookie;
  if pg_catalog.octet_length(v_row::pg_catalog.text)
    operator(pg_catalog.>) jobs_internal.result_limit() then
    return pg_catalog.jsonb_build_object('unread',
        pg_catalog.format('it has more than %s bytes', jobs_internal.result_limit()));
  end if;
  return v_row;
exception
  when others then
    perform jobs_internal.detach_child(h.pid, p_cookie)
      from pg_catalog.unnest(array[p_pid]) as h(pid)
    where exists (select from pg_catalog.pg_stat_get_activity(p_pid));
    return pg_catalog.jsonb_build_object('unread', pg_catalog.left(sqlerrm, 1000));
end
$$;

-- Let go of a child. It goes on by itself if it still runs.
create or replace function jobs_internal.detach_child(p_pid integer, p_cookie bigint)
returns void
language plpgsql volatile
as $$
begin
  execute pg_catalog.format('select %s($1, $2)', jobs_internal.background('detach')) using p_pid,
    p_cookie;
end
$$;

-- What the constraints of the tables call; made before them, and replaced in place where a table
-- needs it.

-- What is true of a live job in each state. A function, because the server parses the text of a
-- CHECK again for each INSERT: written out in the table, this took a tenth of an enqueue.
create or replace function jobs_internal.is_state(p_state text, p_due_at timestamptz,
    p_msg_id bigint, p_session_id bigint)
returns boolean
language plpgsql immutable
as $$
begin
  return pg_catalog.num_nonnulls(p_due_at, p_msg_id, p_session_id) operator(pg_catalog.=) 1
    and p_state operator(pg_catalog.=)
      case when p_due_at is not null then 'scheduled' when p_msg_id is not null then 'queued'
        else 'running' end;
end
$$;

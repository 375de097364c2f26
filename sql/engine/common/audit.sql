-- What operators and administrators did. Rows come from here alone, in the transaction of what they
-- did; nothing changes or removes one.

-- Keep who did what. p_before, p_after: how it was and is, without arguments, results and error
-- texts. Writes: audit.
create or replace function jobs_internal.record_audit(p_action text, p_object text, p_before jsonb,
    p_after jsonb)
returns void
language sql volatile security definer
set search_path = pg_catalog, pg_temp
begin atomic
  insert into jobs_internal.audit (login, login_oid, action, object, before, after)
  values (session_user, jobs_internal.caller(), p_action, p_object, p_before, p_after);
end;

-- Keep that a role controlled a job that is not its own. What an owner does with its own jobs is in
-- their history. Writes: audit.
create or replace function jobs_internal.record_control(p_action text, p_job bigint, p_owner oid,
    p_before jsonb, p_after jsonb)
returns void
language plpgsql volatile security definer
set search_path = pg_catalog, pg_temp
as $$
begin
  if p_owner is distinct from jobs_internal.caller() then
    perform jobs_internal.record_audit(p_action, 'job ' || p_job, p_before, p_after);
  end if;
end
$$;

-- What a round of a supervisor does owner by owner.

-- Do a duty for some owners, in any order: each in a savepoint, so that an error costs the others
-- nothing, and for 0.4 seconds at most; those that failed a moment ago are left out, and what is
-- left comes with the next round. Returns how many jobs it moved. Writes: duty_failure; see the
-- function of the duty.
create or replace function jobs_internal.serve_owners(p_duty text, p_owners oid[])
returns integer
language plpgsql volatile security definer
set search_path = pg_catalog, pg_temp
set exit_on_error = off
as $$
declare
  v_owner oid;
  v_moved integer := 0;
  v_until timestamptz := clock_timestamp() + interval '0.5 seconds';
begin
  for v_owner in
    select o from unnest(p_owners) as o
    where not jobs_internal.is_put_off(p_duty, o::text)
    order by random()
  loop
    exit when not jobs_internal.has_room(v_until);
    begin
      v_moved := v_moved + case p_duty
        when 'follow' then jobs_internal.follow_owner(v_owner, 0.4)
        when 'keys' then jobs_internal.admit_owner(v_owner, 0.4)
        when 'batch' then jobs_internal.fold_owner(v_owner, 0.4) end;
      perform jobs_internal.clear_failure(p_duty, v_owner::text);
    exception
      when others or query_canceled then
        perform jobs_internal.note_failure(p_duty, v_owner::text,
            jobs_internal.error_object(sqlstate, sqlerrm), null, v_owner);
    end;
  end loop;
  return v_moved;
end
$$;

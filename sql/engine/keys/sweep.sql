-- Keys of concurrency: what cannot be, put right; and owners that get other numbers.

-- Give back places that no job can give back, forget jobs that do not wait any more, and have keys
-- looked at that were forgotten. With the protocol of docs/limits.md there are none; jobs.health
-- shows them until this has been here. Of those that wait it looks at a part, another one each
-- time.
-- Locks: job, key_wait (skip locked). Writes: key_wait, key_event; see leave_keys.
create or replace function jobs_internal.sweep_keys()
returns void
language plpgsql volatile security definer
set search_path = pg_catalog, pg_temp
set enable_hashjoin = off
set enable_mergejoin = off
as $$
declare
  v_strays bigint[];
  v_part real := jobs_internal.percent_to_sweep('jobs_internal.key_wait');
begin
  if not exists (select from jobs_internal.key_held)
    and not exists (select from jobs_internal.key_wait) then
    return;
  end if;
  v_strays := array(select s.job_id from jobs_internal.stray_holders() as s where s.gone);
  v_strays := v_strays || array(
    select j.id from jobs_internal.job as j
    where j.id in (select s.job_id from jobs_internal.stray_holders() as s where not s.gone)
      and j.state = 'scheduled' and j.due_at > clock_timestamp()
    for update skip locked);
  if v_strays <> '{}' then
    perform jobs_internal.leave_keys(v_strays);
    perform jobs_internal.wait_for_keys(array(
      select j.id from jobs_internal.job as j
      where j.id = any (v_strays) and j.due_at = 'infinity'));
  end if;
  delete from jobs_internal.key_wait as d
  where d.ctid = any (array(
    select w.ctid
    from jobs_internal.key_wait as w tablesample system (v_part)
    where not exists (select from jobs_internal.job as j
      where j.id = w.job_id and j.due_at = 'infinity')
    for update skip locked));
  insert into jobs_internal.key_event (owner, key)
  select f.owner, f.key from jobs_internal.forgotten_keys() as f;
end
$$;

-- Owners get other numbers: see move_owners. Where the new one has set the same key already, that
-- stays; places of both are counted together from then on.
create or replace function jobs_internal.move_keys(p_old oid[], p_via oid[], p_new oid[])
returns void
language plpgsql volatile security definer
set search_path = pg_catalog, pg_temp
as $$
begin
  delete from jobs_internal.key_turn;
  delete from jobs_internal.key_limit as l using unnest(p_old, p_new) as m(old, new)
  where l.owner = m.old and m.new <> all (p_old) and exists (
    select from jobs_internal.key_limit as o where o.owner = m.new and o.key = l.key);
  update jobs_internal.key_limit as l set owner = m.via from unnest(p_old, p_via) as m(old, via)
    where l.owner = m.old;
  update jobs_internal.key_limit as l set owner = m.new from unnest(p_via, p_new) as m(via, new)
    where l.owner = m.via;
  -- numbers of places that are not there otherwise: one owner may get what two had
  update jobs_internal.key_held as h set owner = m.via, n = 1000 + h.job_id % 1000000000
    from unnest(p_old, p_via) as m(old, via) where h.owner = m.old;
  update jobs_internal.key_held as h set owner = m.new from unnest(p_via, p_new) as m(via, new)
    where h.owner = m.via;
  update jobs_internal.key_wait as w set owner = m.new from unnest(p_old, p_new) as m(old, new)
    where w.owner = m.old;
  update jobs_internal.key_event as n set owner = m.new from unnest(p_old, p_new) as m(old, new)
    where n.owner = m.old;
end
$$;

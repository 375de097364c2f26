-- The functions that become jobs: ordinary functions of an ordinary role.

create function demo.count_day(day date, origin text)
returns integer
language sql
begin atomic
  insert into demo.daily as d (day, origin, flights, departed, cancelled, mean_dep_delay, median_dep_delay, max_arr_delay)
  select
    count_day.day, count_day.origin, count(*), count(f.dep_time), count(*) - count(f.dep_time), round(avg(f.dep_delay), 2),
    percentile_cont(0.5) within group (order by f.dep_delay), max(f.arr_delay)
  from demo.flights as f
  where f.flight_date = count_day.day and f.origin = count_day.origin
  on conflict on constraint daily_pkey do update set runs = d.runs + 1
  returning d.flights;
end;

-- Commits after every chunk; what is committed stays, and the job's progress shows which chunk it
-- works on.
create procedure demo.sum_planes(chunk integer)
language plpgsql
as $$
declare
  v_chunks integer := (select ceil(count(distinct tailnum) / chunk::numeric) from demo.flights);
  v_after text := '';
  v_last text;
  v_done integer := 0;
begin
  loop
    select max(t.tailnum) into v_last
    from (select distinct f.tailnum from demo.flights as f where f.tailnum > v_after order by 1 limit chunk) as t;
    exit when v_last is null;
    insert into demo.plane_total (tailnum, flights, miles, model)
    select f.tailnum, count(*), sum(f.distance), min(p.model)
    from demo.flights as f
    left join demo.planes as p using (tailnum)
    where f.tailnum > v_after and f.tailnum <= v_last
    group by f.tailnum;
    v_done := v_done + 1;
    perform jobs.progress(v_done, v_chunks, format('planes up to %s', v_last));
    perform jobs.log(format('planes up to %s', v_last), fields => jsonb_build_object('chunk', v_done));
    v_after := v_last;
    commit;
  end loop;
end
$$;

-- Goes step by step, and would take three seconds.
create function demo.walk(steps integer)
returns void
language plpgsql
as $$
begin
  for v_step in 1 .. steps loop
    insert into demo.walked (step) values (v_step);
    perform jobs.progress(v_step, steps, format('step %s', v_step));
    perform pg_sleep(3.0 / steps);
  end loop;
end
$$;

-- Loses twice against another transaction: the server calls that 40001, and by the retry rules it
-- is worth another attempt.
create function demo.book()
returns text
language plpgsql
as $$
declare
  v_attempt integer := (select j.attempt from jobs.job as j where j.id = jobs.current_id());
begin
  insert into demo.booked (job_id, attempt) values (jobs.current_id(), v_attempt);
  if v_attempt <= 2 then
    raise exception using errcode = 'serialization_failure', message = 'could not serialize access due to concurrent update';
  end if;
  return format('booked at attempt %s', v_attempt);
end
$$;

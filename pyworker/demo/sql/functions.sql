-- The functions that become jobs: ordinary functions of an ordinary role.

create function demo.count_day(day date, origin text)
returns integer
language sql
begin atomic
  insert into demo.daily as d (day, origin, flights, departed, cancelled,
    mean_dep_delay, median_dep_delay, max_arr_delay)
  select
    count_day.day, count_day.origin, count(*), count(f.dep_time), count(*) - count(f.dep_time),
    round(avg(f.dep_delay), 2), percentile_cont(0.5) within group (order by f.dep_delay),
    max(f.arr_delay)
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
    from (
      select distinct f.tailnum from demo.flights as f
      where f.tailnum > v_after
      order by 1 limit chunk
    ) as t;
    exit when v_last is null;
    insert into demo.plane_total (tailnum, flights, miles, model)
    select f.tailnum, count(*), sum(f.distance), min(p.model)
    from demo.flights as f
    left join demo.planes as p using (tailnum)
    where f.tailnum > v_after and f.tailnum <= v_last
    group by f.tailnum;
    v_done := v_done + 1;
    perform jobs.progress(v_done, v_chunks, format('planes up to %s', v_last));
    perform jobs.log(format('planes up to %s', v_last),
      fields => jsonb_build_object('chunk', v_done));
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
    raise exception using errcode = 'serialization_failure',
      message = 'could not serialize access due to concurrent update';
  end if;
  return format('booked at attempt %s', v_attempt);
end
$$;

-- Reports on the day of its occurrence, by New York's clock.
create function demo.report()
returns integer
language sql
begin atomic
  insert into demo.reported (due_at, flights)
  select r.due_at, (
    select count(*) from demo.flights as f
    where f.flight_date = (r.due_at at time zone 'America/New_York')::date)
  from jobs.current_run() as r
  returning flights;
end;

create function demo.pulse()
returns void
language sql
begin atomic
  insert into demo.pulses (due_at, flights)
  select r.due_at, (select sum(d.flights) from demo.daily as d) from jobs.current_run() as r;
end;

-- A chain: how many flights of each route were late, the worst route of each airport, the worst of
-- all. No flight of the route from EWR to LGA ever departed: the first version divides by zero.
create function demo.share(part bigint, whole bigint)
returns numeric
language sql
return round(100.0 * part / whole, 1);

create function demo.late_routes()
returns bigint
language sql
begin atomic
  with routes as (
    insert into demo.route (origin, dest, flights, late)
    select f.origin, f.dest, count(*),
      demo.share(count(*) filter (where f.dep_delay >= 15), count(f.dep_time))
    from demo.flights as f
    group by f.origin, f.dest
    returning origin
  )
  select count(*) from routes;
end;

create function demo.worst_routes()
returns void
language sql
begin atomic
  insert into demo.worst_route (origin, dest, late)
  select distinct on (r.origin) r.origin, r.dest, r.late from demo.route as r
  where r.flights >= 365
  order by r.origin, r.late desc, r.dest;
end;

create function demo.headline()
returns text
language sql
begin atomic
  select format('%s %% late from %s to %s', w.late, w.origin, w.dest) from demo.worst_route as w
  order by w.late desc, w.origin limit 1;
end;

-- A batch: the months, and what is called when all of them are counted.
create function demo.count_month(month integer)
returns integer
language sql
begin atomic
  insert into demo.month_total (month, flights, miles)
  select count_month.month, count(*), sum(f.distance) from demo.flights as f
  where f.month = count_month.month
  returning flights;
end;

create function demo.sum_year()
returns void
language sql
begin atomic
  insert into demo.year_total (batch, months, flights, miles)
  select r.batch, (select count(*) from demo.month_total),
    (select sum(m.flights) from demo.month_total as m),
    (select sum(m.miles) from demo.month_total as m)
  from jobs.current_run() as r;
end;

-- Counts month by month, and would take three seconds.
create function demo.recount()
returns void
language plpgsql
as $$
begin
  for v_month in 1 .. 12 loop
    insert into demo.recounted (month, flights)
    select v_month, count(*) from demo.flights as f where f.month = v_month;
    perform jobs.progress(v_month, 12, format('month %s', v_month));
    perform pg_sleep(0.25);
  end loop;
end
$$;

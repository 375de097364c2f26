-- What the acceptance tests run: jobs that leave a trace, fail, or take their time.
grant jobs_runner, jobs_producer to app;
grant jobs_supervisor to supervisor;
create table public.effect (number int, at timestamptz not null default clock_timestamp());
grant all on public.effect to app;

create function public.leave(number int) returns int
language sql begin atomic insert into public.effect values (number) returning number; end;

create function public.nap(seconds float) returns void
language sql begin atomic select pg_sleep(seconds); end;

-- Ends when the test lets go of the advisory lock 1.
create function public.gate() returns void
language sql begin atomic select pg_advisory_xact_lock(1); end;

create function public.fail() returns void
language plpgsql as $$ begin raise exception 'no luck' using errcode = '22012'; end $$;

create function public.stumble() returns void
language plpgsql as $$ begin raise exception 'try again' using errcode = '40001'; end $$;

-- What the jobs, and what they are compared with, work on: tables and functions of an ordinary
-- role, as an application has them.

create schema bench authorization app;
set role app;

create table bench.plain (
  id bigint generated always as identity primary key,
  at timestamptz default now()
);
create table bench.mark (id bigint generated always as identity primary key);
create table bench.account (id integer primary key, updates integer not null default 0)
with (fillfactor = 50);
create table bench.ledger (
  id bigint generated always as identity primary key,
  account integer,
  amount integer,
  at timestamptz default now()
);

create function bench.noop() returns void
language plpgsql
as $$
begin
end
$$;

create function bench.stamp() returns double precision
language sql
as $$
  select extract(epoch from clock_timestamp())
$$;

create function bench.add_one(n integer) returns void
language plpgsql
as $$
begin
  update bench.account set updates = updates + 1 where id = n;
end
$$;

-- The rival of a drain: the same calls and as many commits. p_durable: each commit has something to
-- make durable, as each of a drain's has; a commit after nothing but no-ops waits for no disk.
create procedure bench.call_noop(p_calls integer, p_per_commit integer, p_durable boolean)
language plpgsql
as $$
begin
  for i in 1 .. p_calls loop
    perform bench.noop();
    if i % p_per_commit = 0 then
      if p_durable then
        insert into bench.mark default values;
      end if;
      commit;
    end if;
  end loop;
  commit;
end
$$;

-- The same with what any runner does that holds its jobs apart: a subtransaction for each, and a
-- call by name.
create procedure bench.call_apart(p_calls integer, p_per_commit integer)
language plpgsql
as $$
begin
  for i in 1 .. p_calls loop
    begin
      execute 'select bench.noop()';
    exception
      when others then
        raise;
    end;
    if i % p_per_commit = 0 then
      insert into bench.mark default values;
      commit;
    end if;
  end loop;
  commit;
end
$$;

-- The barest queue of rows that SQL has: no lease, no fence, no resets, no name, one index for the
-- work and one for its history. What a drain with duties can reach at most lies below.
create table bench.bare (id bigint primary key, task text, args jsonb);
create table bench.bare_past (id bigint primary key, task text, at timestamptz, ms real);

create procedure bench.drain_bare(p_first bigint, p_last bigint, p_per_commit integer)
language plpgsql
as $$
begin
  for i in p_first .. p_last by p_per_commit loop
    with done as (
      delete from bench.bare as b where b.id between i and least(i + p_per_commit - 1, p_last)
      returning b.id, b.task, bench.noop()
    )
    insert into bench.bare_past (id, task, at, ms)
    select d.id, d.task, clock_timestamp(), 0 from done as d;
    commit;
  end loop;
end
$$;

create procedure bench.update_plainly(p_first integer, p_last integer, p_per_commit integer)
language plpgsql
as $$
begin
  for i in p_first .. p_last loop
    update bench.account set updates = updates + 1 where id = i;
    if i % p_per_commit = 0 then
      commit;
    end if;
  end loop;
  commit;
end
$$;

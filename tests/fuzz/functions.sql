-- What the jobs of this tier call. Applied as app, in a clone of the template; schema app is first
-- on app's path.

create table app.t (n integer, t text);
create table app."T" (n integer);

create type app.mood as enum ('sad', 'ok', 'happy', 'it''s "odd", \ {}');
create domain app.positive as numeric check (value > 0);
create domain app.words as text[] check (cardinality(value) < 4);
create type app.pair as (x integer, y text);
create type app.nest as (p app.pair, m app.mood[], j jsonb);

create function app.nothing() returns void language sql return null;
create function app.plain(n integer default 1, t text default 'x') returns text
language sql return n::text || t;
create function app.whole(j jsonb) returns jsonb language sql return j;
create function app.over(a integer) returns text language sql return 'integer';
create function app.over(a text) returns text language sql return 'text';
create function app."Odd ""name"(n integer default 1) returns integer language sql return n;
create function app.set_of(n integer default 2) returns setof integer
language sql as 'select generate_series(1, least(n, 20))';
create function app.types(n numeric default 1, j json default '{}', x text[] default '{}')
returns jsonb
language sql return jsonb_build_object('n', n, 'j', j, 'x', x);
create function app.many(variadic n integer[] default '{1}') returns bigint
language sql as 'select sum(u) from unnest(n) as u';
create procedure app.proc(n integer default 1) language plpgsql as $$ begin commit; end $$;
create function app.poly(a anyelement) returns anyelement language sql as 'select a';
create function app.on_row() returns trigger language plpgsql as $$ begin return new; end $$;
create aggregate app.summed(integer) (sfunc = int4pl, stype = integer);

-- Calls of ours from inside a job. The values come as text and are cast here, so that the cast is
-- not ours to refuse.
create function app.progress(done numeric default null, total numeric default null,
  message text default null)
returns void
language sql as 'select jobs.progress(done, total, message)';
create function app.log(message text default 'x', level text default 'info',
  fields jsonb default '{}')
returns void
language sql as 'select jobs.log(message, level, fields)';

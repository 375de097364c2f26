-- What the tests of this tier call. Applied as app, in a clone of the template; schema app is first
-- on app's path.

create type app.mood as enum ('sad', 'ok', 'happy');
create domain app.positive as integer check (value > 0);
create type app.pair as (x integer, y text);
create type app.span as (since date, lasts interval);
create table app.marks (
  tag text, at timestamptz default clock_timestamp(), by_role text default current_user
);

create function app.mark(tag text) returns void
language sql begin atomic insert into app.marks (tag) values (tag); end;
create function app.add(a integer, b integer default 10) returns integer
language sql immutable return a + b;
create function app.greet(name text, greeting text default 'hello') returns text
language sql return greeting || ' ' || name;
create function app.whole(anything jsonb) returns jsonb language sql return anything;
create function app.jsons(a jsonb, b json) returns jsonb
language sql return jsonb_build_array(a, b);
create function app.total(variadic numbers integer[]) returns bigint
language sql begin atomic select sum(n) from unnest(numbers) as n; end;
create function app.label(prefix text, variadic parts text[]) returns text
language sql return prefix || array_to_string(parts, '+', '~');
create function app.feel(m app.mood) returns app.mood language sql return m;
create function app.feelings(m app.mood[]) returns app.mood[] language sql return m;
create function app.positive(n app.positive) returns integer language sql return n::integer;
create function app.second(p app.pair) returns text language sql return p.y;
create function app.pairs(p app.pair[]) returns text language sql return p[2].y;
create function app.range(r int4range) returns integer language sql return upper(r) - lower(r);
create function app.days(r daterange) returns text
language sql return to_char(lower(r), 'YYYY-MM-DD');
create function app.padded(c character, b bit, v varchar) returns text
language sql return c::text || b::text || v;
create function app.unnamed(integer, text) returns text language sql return $1::text || $2;
create function app.unnamed_default(integer, integer default 7) returns integer
language sql return $1 + $2;
create function app.half_named(integer, named integer default 3) returns integer
language sql return $1 * named;
create function app.day(d date) returns text language sql return to_char(d, 'YYYY-MM-DD');
create function app.moment(t timestamptz) returns text
language sql return to_char(t at time zone 'UTC', 'YYYY-MM-DD HH24:MI:SS.US');
create function app.seconds(i interval) returns numeric language sql return extract(epoch from i);
create function app.float(f float8) returns text language sql return f::numeric::text;
create function app.table_name(r regclass) returns text
language sql begin atomic
  select n.nspname || '.' || c.relname
  from pg_class c join pg_namespace n on n.oid = c.relnamespace
  where c.oid = r;
end;
create function app.bytes(b bytea) returns text language sql return encode(b, 'hex');
create function app.is_null(t text) returns boolean language sql return t is null;

create function app.nothing() returns void language sql return null;
create function app.null_text() returns text language sql return null;
create function app.outs(in a integer, out doubled integer, out words text)
language sql as 'select a * 2, a::text';
create function app.one_out(in a integer, out doubled integer) language sql return a * 2;
create function app.in_outs(inout a integer, inout b text) language sql as 'select a + 1, b || b';
create function app.make_pair() returns app.pair language sql return row(1, 'one')::app.pair;
create function app.series(n integer) returns setof integer
language sql as 'select generate_series(1, n)';
create function app.rows(n integer) returns table (i integer, t text)
language sql as 'select g, g::text from generate_series(1, n) as g';
create function app.one_column(n integer) returns table (i integer)
language sql as 'select generate_series(1, n)';
create function app.pair_set(n integer) returns setof app.pair
language sql as $$ select g, 'p' || g from generate_series(1, n) as g $$;

-- Names of parameters that a text built around them might mean something by.
create function app.name_f(f integer) returns setof app.pair language sql as $$ select f, 'row' $$;
create function app.name_v(v integer, s integer, f integer) returns setof integer
language sql as $$ select v + s + f $$;
create function app.name_args(pyworker_args integer, args integer, n integer) returns integer
language sql return $1 + $2 + $3;
create function app.name_row(pyworker_row integer) returns setof integer
language sql return pyworker_row;
create function app.name_out(pyworker_row integer, out a integer) returns setof integer
language sql return pyworker_row;
create function app.name_odd("Arg One" integer, "select" integer, "a;b--" integer,
  "q""uote" integer)
returns integer
language sql return $1 + $2 + $3 + $4;

create function app.over(a integer) returns text language sql return 'integer';
create function app.over(a text) returns text language sql return 'text';
create function app.over(a integer, b integer) returns text language sql return 'two integers';
create function app.apart(a integer) returns text language sql return 'a';
create function app.apart(b text) returns text language sql return 'b';
-- The shorter one fits the same call; only the signature tells which was meant.
create function app.short(a integer) returns text language sql return 'short';
create function app.short(a integer, b integer default 5) returns text
language sql return 'long ' || b;
create function app."Camel Case"(a integer) returns integer language sql return a;
create function app.camel(a integer) returns integer language sql return -a;
create schema "odd ""na'me; -- $$ /*";
create function "odd ""na'me; -- $$ /*"."f""(x);"(a integer) returns integer
language sql return a * 3;

create procedure app.keep(tag text, times integer default 1)
language plpgsql as $$
begin
  for i in 1 .. times loop
    insert into app.marks (tag) values (tag);
    commit;
  end loop;
end $$;
create procedure app.proc_out(in a integer, out b integer, inout c integer)
language plpgsql as $$
begin
  insert into app.marks (tag) values (format('out %s %s', a, c));
  b := a;
  c := a;
end $$;
create procedure app.proc_whole(everything jsonb)
language plpgsql as $$
begin
  insert into app.marks (tag) values (everything ->> 'tag');
  commit;
end $$;
create procedure app.proc_kinds(m app.mood, p app.pair, n integer[], variadic rest text[])
language plpgsql as $$
begin
  insert into app.marks (tag) values (format('%s %s %s %s', m, p.y, n[2], rest[1]));
  commit;
end $$;

create function app.path() returns text language sql as $$ select current_setting('search_path') $$;
create function app.who() returns jsonb
language sql as $$ select jsonb_build_array(session_user, current_user) $$;
create function app.show(name text) returns text language sql as $$ select current_setting(name) $$;

-- What cannot be a job.
create function app.on_row() returns trigger language plpgsql as $$ begin return new; end $$;
create function app.poly(a anyelement) returns anyelement language sql as $$ select a $$;
create function app.poly_array(a anyarray) returns integer
language sql as $$ select cardinality(a) $$;
create function app.record() returns record language sql as $$ select 1, 2 $$;
create aggregate app.summed(integer) (sfunc = int4pl, stype = integer);
create function app.closed(a integer) returns integer language sql return a;

create function app.twice_of(text) returns text language sql as 'select $1 || $1';

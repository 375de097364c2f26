-- Traps in a schema that a victim has first on its path: every operator and function of pg_catalog
-- that takes ordinary types, and the types that our functions name, each of which raises when it is
-- used. Applied as the attacker.

create schema trap;
grant usage on schema trap to public;

do $$
declare
  v record;
begin
  for v in
    select distinct on (p.proname, p.proargtypes::text) p.proname, p.oid, p.prorettype,
      p.proargtypes,
      pg_catalog.array_to_string(array(
          select pg_catalog.format_type(t, null)
          from pg_catalog.unnest(p.proargtypes::oid[]) as t), ', ') as args
    from pg_catalog.pg_proc as p
    join pg_catalog.pg_type as r on r.oid = p.prorettype
    where p.pronamespace = 'pg_catalog'::regnamespace and p.prokind = 'f' and not p.proretset
      and p.pronargs between 0 and 4
      and (r.typtype <> 'p' or p.prorettype = 'void'::regtype)
      and not exists (
        select from pg_catalog.unnest(p.proargtypes::oid[]) as t
        join pg_catalog.pg_type as y on y.oid = t
        where y.typtype = 'p')
      and p.proname !~ '(in|out|recv|send)$'
  loop
    execute pg_catalog.format(
      'create function trap.%I(%s) returns %s language plpgsql as %L', v.proname, v.args,
      pg_catalog.format_type(v.prorettype, null),
      pg_catalog.format('begin raise exception %L; end', 'planted function ' || v.proname));
  end loop;

  for v in
    select o.oid, o.oprname, o.oprleft::regtype as l, o.oprright::regtype as r,
      o.oprresult::regtype as result
    from pg_catalog.pg_operator as o
    where o.oprnamespace = 'pg_catalog'::regnamespace and o.oprleft <> 0 and o.oprcode <> 0
      and o.oprresult <> 0
      and exists (
        select from pg_catalog.pg_type
        where oid = o.oprleft and (typtype <> 'p' or typname ~ '^any'))
      and exists (
        select from pg_catalog.pg_type
        where oid = o.oprright and (typtype <> 'p' or typname ~ '^any'))
      and exists (select from pg_catalog.pg_type where oid = o.oprresult and (typtype <> 'p'))
  loop
    execute pg_catalog.format(
      'create function trap.%I(%s, %s) returns %s language plpgsql as %L',
      'operate_' || v.oid, v.l, v.r, v.result,
      pg_catalog.format('begin raise exception %L; end',
        'planted operator ' || pg_catalog.replace(v.oprname, '%', '%%')));
    execute pg_catalog.format(
      'create operator trap.%s (leftarg = %s, rightarg = %s, function = trap.%I)',
      v.oprname, v.l, v.r, 'operate_' || v.oid);
  end loop;
end
$$;

-- Those of arrays are polymorphic in pg_catalog; exact ones would be preferred.
do $$
declare
  v record;
begin
  for v in
    select o.name as oprname, l.type as l,
      case o.side when 1 then l.type || '[]' else l.type end as r,
      case when o.name = '||' then l.type || '[]' else 'boolean' end as result,
      pg_catalog.row_number() over () as n
    from (
        values ('||', 1), ('||', 0), ('=', 1), ('<>', 1), ('@>', 1), ('&&', 1), ('<', 1)
      ) as o(name, side),
      (values ('integer'), ('bigint'), ('text'), ('jsonb'), ('oid')) as l(type)
  loop
    execute pg_catalog.format(
      'create function trap.arrays_%s(%s[], %s) returns %s language plpgsql as %L',
      v.n, v.l, v.r, v.result,
      pg_catalog.format('begin raise exception %L; end', 'planted operator ' || v.oprname));
    execute pg_catalog.format(
      'create operator trap.%s (leftarg = %s[], rightarg = %s, function = trap.arrays_%s)',
      v.oprname, v.l, v.r, v.n);
  end loop;
end
$$;

create function trap.sprung(value anyelement) returns boolean
language plpgsql as $$ begin raise exception 'planted type'; end $$;
create domain trap.text as pg_catalog.text check (trap.sprung(value));
create domain trap.jsonb as pg_catalog.jsonb check (trap.sprung(value));
create domain trap.oid as pg_catalog.oid check (trap.sprung(value));
create domain trap.name as pg_catalog.name check (trap.sprung(value));
create domain trap.timestamptz as pg_catalog.timestamptz check (trap.sprung(value));

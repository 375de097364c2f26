-- Texts for people.

-- A count with its word, as people say it: 1 job, 2 jobs. A word whose plural is more than an s
-- comes with it.
create or replace function jobs_internal.counted(p_count bigint, p_one text,
    p_many text default null)
returns text
language sql immutable
set search_path = pg_catalog, pg_temp
begin atomic
  select p_count || ' ' || case when p_count = 1 then p_one else coalesce(p_many, p_one || 's') end;
end;

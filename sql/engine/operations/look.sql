-- One look at a running operation: how far it is, of what the server shows now and what was noted
-- at the looks before. Writes nothing: the views look too, and so does who notes it.

-- The row of a REINDEX with index: the index that its new one takes the place of, where its name
-- tells that. p_weights: its weights.
create or replace function jobs_internal.with_index(p_row jsonb, p_weights jsonb)
returns jsonb
language sql stable security definer
set search_path = pg_catalog, pg_temp
begin atomic
  select case when p_row ->> 'command' ilike 'reindex%' then p_row || jsonb_build_object('index',
        coalesce(
          (select f.v -> 'index'
            from jsonb_array_elements(p_weights -> 'parts') as p(v)
            cross join lateral jsonb_array_elements(p.v -> 'phases') as f(v)
            where f.v ->> 'index' = p_row ->> 'index_relid'
            or p.v -> 'ids' @> jsonb_build_array((p_row ->> 'relid')::bigint)
            and f.v ->> 'name' = (select regexp_replace(c.relname, '_ccnew[0-9]*$', '')
              from pg_class as c where c.oid = (p_row ->> 'index_relid')::oid)
            limit 1), p_row -> 'index_relid'))
    else p_row end;
end;

-- How far an operation is. p_operation: its row; p_pid: the process that runs it; p_row: the
-- server's progress of it; p_waits: it waits for a lock; p_started: start of this attempt. Returns:
-- {phase, row, weights, place (as in progress.sql), entered: it is in another phase than at the
-- last look, done, total, unit, expected, units, method: of the phase; percent, source, left:
-- seconds that it still needs}. What a session has noted of its own job may be anything: where that
-- cannot be read, what is known stays, and the views and rounds that look at all jobs go on.
create or replace function jobs_internal.look(p_operation jobs_internal.operation, p_pid integer,
    p_row jsonb, p_waits boolean, p_started timestamptz, p_now timestamptz)
returns jsonb
language plpgsql volatile security definer
set search_path = pg_catalog, pg_temp
set exit_on_error = off
as $$
declare
  v_weights jsonb := p_operation.weights;
  v_row jsonb := p_row;
  v_place jsonb := coalesce(p_operation.place, jsonb_build_object('began', p_started));
  v_phase text := p_row ->> 'phase';
  v_wait boolean := p_waits or jobs_internal.is_wait(p_row ->> 'phase');
  v_past numeric := greatest(0, extract(epoch from p_now
      - coalesce(p_operation.looked_at, p_started)));
  v_worked numeric;
  v_waited numeric;
  v_same boolean;
  v_since timestamptz;
  v_counts record;
  v_phased constant boolean := p_operation.kind
    ~ '^(create index|reindex|vacuum|analyze|cluster|repack|copy)';
  v_source text;
  v_share numeric;
  v_expected numeric;
begin
  -- a build that has not begun yet does not say how it will go about it; of other kinds the server
  -- shows what they do besides
  if v_weights is null and v_phase <> 'initializing' and v_phased then
    v_weights := jobs_internal.weights_of(p_operation, p_row);
  end if;
  v_row := jobs_internal.with_index(p_row, v_weights);
  v_worked := coalesce((v_place ->> 'worked')::numeric, 0);
  v_waited := coalesce((v_place ->> 'waited')::numeric, 0);
  if coalesce((v_place ->> 'wait')::boolean, v_wait) then
    v_waited := v_waited + v_past;
  else
    v_worked := v_worked + v_past;
  end if;
  v_same := v_place ? 'since' and (v_place ->> 'phase', v_place ->> 'index')
    is not distinct from (v_phase, v_row ->> 'index');
  v_since := case when v_same then (v_place ->> 'since')::timestamptz else p_now end;
  v_place := v_place || jsonb_build_object('worked', round(v_worked, 3), 'waited',
      round(v_waited, 3), 'wait', v_wait, 'since', v_since)
    || case when v_same then '{}' else jsonb_build_object('before', round(v_worked, 3)) end;
  select c.* into v_counts from jobs_internal.phase_counts(v_row,
      (v_weights ->> 'tuples')::numeric) as c;
  if v_weights is not null and v_row is not null then
    v_source := 'phases';
    v_place := v_place || jobs_internal.progress_of(v_weights, p_operation.place, v_row,
        extract(epoch from p_now - v_since), (v_place ->> 'before')::numeric);
    v_share := greatest((v_place ->> 'share')::numeric, (p_operation.place ->> 'share')::numeric);
    v_expected := case when (v_weights -> 'learned')::boolean then (
      select sum((p.v ->> 'seconds')::numeric)
      from jsonb_array_elements(v_weights -> 'parts') as p(v)) end;
  elsif v_phased and v_row is null then
    v_share := case when not v_wait and jobs_internal.is_ending(v_weights, p_operation.place) then 1
      else (p_operation.place ->> 'share')::numeric end;
  elsif v_row is not null or not v_phased then
    -- no phases: the new file, of what is shown of that, and how long it took before
    v_share := case when not v_phased
      then jobs_internal.file_share(p_pid, p_operation.object, p_operation.kind) end;
    v_expected := jobs_internal.seconds_before(p_operation);
    v_source := case when v_share is not null then 'file'
      when p_operation.progress_source is null and v_expected > 0 then 'history' end;
    v_share := greatest(v_share, case when v_expected > 0
      then least(0.95, v_worked / v_expected) end, (p_operation.place ->> 'share')::numeric);
  end if;
  return jsonb_build_object('phase', v_phase, 'row', v_row, 'weights', v_weights,
    'place', (v_place - 'in_phase') || jsonb_build_object('phase', v_phase, 'index',
      v_row -> 'index', 'share', v_share),
    'entered', not v_same, 'done', v_counts.done, 'total', v_counts.total, 'unit', v_counts.unit,
    'expected', v_place #> '{in_phase,seconds}', 'units', v_place #> '{in_phase,units}',
    'method', v_place #> '{in_phase,method}',
    'percent', jobs_internal.shown_percent(v_share, p_operation.percent),
    'source', coalesce(v_source, p_operation.progress_source),
    'left', case when not v_wait
      then jobs_internal.seconds_left(v_share, v_worked, v_expected) end);
exception
  when data_exception or cardinality_violation then
    return jsonb_build_object('phase', v_phase, 'place', p_operation.place, 'entered', false,
      'percent', p_operation.percent, 'source', p_operation.progress_source);
end
$$;

-- What the demo shows at its end, as its ordinary role: its own jobs.

-- name: operations
select id, title, state, attempt, gain, undo from jobs.operations order by id;

-- name: measurements
select unit, before, after, buffers_before, buffers_after, plan_changed, uses_index
from jobs.measurements;

-- name: phases
select job_id, n, phase, seconds, expected_seconds from jobs.phases
where job_id in (
  select id from jobs.operations where gain is null and kind = 'create index concurrently')
order by n;

-- name: steps
select step, state, statement, finished_at from jobs.steps order by step;

-- name: queues
select queue, concurrency, queued, running, scheduled, failed, max_attempts from jobs.queues;

-- name: failed
select id, task, state, outcome, attempt, sqlstate, message from jobs.failed;

-- name: finished
select id, queue, task, state, outcome, attempt, wait_ms, run_ms from jobs.finished
order by run_ms desc limit 8;

-- name: attempts
select job_id, attempt, outcome, error ->> 'sqlstate' as sqlstate, error ->> 'message' as message
from jobs.attempts where job_id in (select job_id from demo.booked) order by attempt;

-- name: health
select "check", status, detail from jobs.health;

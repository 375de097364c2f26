-- What the demo shows at its end, as its ordinary role: its own jobs.

-- name: queues
select queue, concurrency, queued, running, scheduled, failed, max_attempts from jobs.queues;

-- name: failed
select id, task, state, outcome, attempt, sqlstate, message from jobs.failed;

-- name: finished
select id, queue, task, state, outcome, attempt, wait_ms, run_ms from jobs.finished order by run_ms desc limit 8;

-- name: attempts
select job_id, attempt, outcome, error ->> 'sqlstate' as sqlstate, error ->> 'message' as message
from jobs.attempts where job_id in (select job_id from demo.booked) order by attempt;

-- name: health
select "check", status, detail from jobs.health;

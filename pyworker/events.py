"""The log's catalogue: every event that pyworker writes, with its level, its fields and its
meaning.

The log refuses what is not in here (`pyworker.log`), and docs/reference/events.md is made from it:
`python docs/events_page.py`.
"""

from dataclasses import dataclass
from typing import Literal

from pyworker.event_fields import FIELDS

__all__ = ["EVENTS", "FIELDS", "Event", "Level"]

Level = Literal["debug", "info", "warning", "error", "critical"]

_OUTCOME = (
    "job_id task queue owner attempt max_attempts outcome state session pid ms at sqlstate "
    "message hint note"
)


@dataclass(frozen=True, kw_only=True)
class Event:
    """One kind of line."""

    name: str
    level: Level
    fields: tuple[str, ...]
    meaning: str


def _event(name: str, level: Level, fields: str, meaning: str) -> Event:
    return Event(name=name, level=level, fields=tuple(fields.split()), meaning=meaning)


_ALL = (
    # The supervisor itself
    _event(
        "supervisor_started",
        "info",
        "supervisor name version pid host user database server_version owners",
        "It is registered and serves these owners.",
    ),
    _event(
        "risk",
        "warning",
        "problem detail hint",
        "The supervisor runs, but how it was set up could be misused. Said once, at the "
        "start. Problems: unverified_server: a connection off this machine that does not check "
        "which server it speaks to; superuser: its login is a superuser, or a member of one, and "
        "that was allowed; privileged_login: the same of another privilege that no supervisor "
        "needs.",
    ),
    _event(
        "http_started",
        "info",
        "url access",
        "It answers HTTP at this address (--http).",
    ),
    _event(
        "http_failed",
        "error",
        "reason",
        "HTTP could not answer, or serves no more. The supervisor goes on without it.",
    ),
    _event(
        "supervisor_stopping",
        "info",
        "reason drain running",
        "It was asked to stop, or has nothing left to do.",
    ),
    _event(
        "supervisor_stopped",
        "info",
        "reason exit_code uptime",
        "It is gone; jobs that run go on without it.",
    ),
    _event(
        "server_lost",
        "error",
        "reason",
        "The connection is gone. Said once; it tries again until it succeeds.",
    ),
    _event(
        "server_unreachable",
        "error",
        "reason",
        "Still no connection, and now for this reason: a database that was renamed, a password "
        "that was changed, a rule of pg_hba.conf, connections that are used up. Said once for "
        "each reason that stands for some seconds; it goes on trying.",
    ),
    _event("server_back", "info", "outage supervisor", "Connected and registered again."),
    _event(
        "server_stalled",
        "critical",
        "duty seconds wait_event",
        "The server took a call and gave no answer for this long. The supervisor leaves with a "
        "failure. Its process in the server waited for wait_event: IPC:SyncRep says that a "
        "synchronous standby is gone.",
    ),
    _event(
        "schema_mismatch",
        "critical",
        "sqlstate message hint",
        "The database does not hold the schema that this program needs. Exit code 5.",
    ),
    _event(
        "role_refused",
        "critical",
        "sqlstate message hint",
        "The database does not let this role supervise. Exit code 7.",
    ),
    _event(
        "database_is_copy",
        "critical",
        "sqlstate message hint",
        "The database is a copy of another installation, and nothing runs in it before "
        "jobs.reconcile(). Exit code 8.",
    ),
    _event(
        "duty_failed",
        "error",
        "duty sqlstate message hint suppressed",
        "One call failed. The others go on, and it is tried again.",
    ),
    _event("registration_waits", "warning", "reason", "A table of ours is locked. It tries again."),
    _event(
        "registration_renewed",
        "warning",
        "supervisor reason",
        "The database no longer knew this supervisor, which was perhaps suspended. It "
        "registered again.",
    ),
    # Sessions
    _event(
        "sessions_launched",
        "info",
        "owner count active_sessions session_demand",
        "Worker sessions were started.",
    ),
    _event(
        "no_worker_slot",
        "warning",
        "owner asked launched suppressed",
        "The server has no worker slot left (max_worker_processes, pg_background.max_workers). "
        "Jobs wait, none fails.",
    ),
    _event(
        "owner_unreachable",
        "warning",
        "owner reason retry_in suppressed",
        "No connection as this owner; at the start: an owner that --owner names is no login "
        "member of jobs_runner. Its jobs wait; those of other owners go on.",
    ),
    _event(
        "launch_failed",
        "warning",
        "owner sqlstate message hint retry_in suppressed",
        "Connected as this owner, but sessions could not be started. Its jobs wait; those of "
        "other owners go on.",
    ),
    # Outcomes
    _event(
        "job_succeeded",
        "info",
        "job_id task queue owner session pid ms at",
        "A job succeeded. Written while successes are few.",
    ),
    _event(
        "jobs_succeeded",
        "info",
        "task queue owner second count ms_total ms_p50 ms_max",
        "Jobs succeeded, summed over one second. Written instead of job_succeeded when there are "
        "more than about 20 a second.",
    ),
    _event(
        "attempt_failed",
        "warning",
        f"{_OUTCOME} retry_at",
        "An attempt did not succeed, whatever its outcome, and the job is not over: there "
        "will be another.",
    ),
    _event(
        "attempt_interrupted",
        "warning",
        _OUTCOME,
        "A session was told to leave in the middle of a job: by a shutdown for example, or because "
        "the job's window has closed, as message then says. The job runs again; no attempt is "
        "charged.",
    ),
    _event(
        "attempt_held",
        "info",
        f"{_OUTCOME} retry_at",
        "An operation gave up waiting for a lock, or gave way to another session. It comes back "
        "at retry_at; no attempt is charged.",
    ),
    _event(
        "job_snoozed",
        "debug",
        "job_id task queue owner session pid retry_at ms at",
        "A function said that it comes back later (jobs.snooze): its job waits until retry_at, and "
        "no attempt is charged.",
    ),
    _event(
        "step_done",
        "info",
        "job_id task queue owner session pid step steps ms at",
        "A step of a job of several statements is done, and the job goes on with the next one. The "
        "last step is the end of its job, as job_succeeded.",
    ),
    _event(
        "operation_measured",
        "info",
        "job_id task queue owner session pid queries gain at",
        "Queries were measured before and after an operation that succeeded: see "
        "jobs.measurements.",
    ),
    _event("job_failed", "error", _OUTCOME, "The job failed for good."),
    _event(
        "job_timed_out",
        "error",
        _OUTCOME,
        "The job ran longer than it may, was stopped, and is over.",
    ),
    _event("job_cancelled", "warning", _OUTCOME, "The job was cancelled."),
    _event(
        "job_lost",
        "error",
        _OUTCOME,
        "The job's session died with it, and there is no attempt left.",
    ),
    _event(
        "job_in_doubt",
        "error",
        _OUTCOME,
        "Nothing shows whether the statement took effect. A person has to look, then retry "
        "or leave it.",
    ),
    # What a round does
    _event(
        "stop_signal_sent",
        "warning",
        "job_id attempt owner pid signal reason",
        "A running job is over its time, or cancelled: its session was signalled.",
    ),
    _event("rescued", "warning", "count", "Jobs whose session died were taken back or closed."),
    _event("dispatched", "debug", "count", "Scheduled jobs became due and were queued."),
    _event("everything_paused", "warning", "queued", "jobs.pause() holds every queue."),
    _event("everything_resumed", "info", "queued", "jobs.resume() lets them go on."),
    _event(
        "maintenance_done",
        "info",
        "removed vacuumed ms",
        "Old history removed, hot tables vacuumed.",
    ),
    _event(
        "jobs_stuck",
        "critical",
        "owner session_demand active_sessions seconds reason",
        "Jobs of this owner are due and nothing has picked them up for this long.",
    ),
    _event(
        "jobs_moving", "info", "owner seconds", "The owner's stuck jobs are being picked up again."
    ),
    _event(
        "item_failed",
        "warning",
        "duty item owner queue sqlstate message hint failures retry_at",
        "One item of a round failed: a lane cannot be made, a dead session's job is locked. "
        "Everything else goes on, and it is tried again. Said once, and again when its error "
        "becomes another; jobs.health shows it until it is over.",
    ),
    _event(
        "deadlock_risk",
        "warning",
        "job_id owner pid reason action hint",
        "Another session waits for a concurrent index build, and has what the build will wait for: "
        "the server would end the build. Written once for each session that is seen, and when one "
        "was cancelled for it (on_deadlock_risk). pid is the waiter next to the build.",
    ),
    _event(
        "problem",
        "warning",
        "problem detail suppressed",
        "The database reports something worth a look.",
    ),
)

EVENTS: dict[str, Event] = {event.name: event for event in _ALL}

"""Have running jobs stopped that have a committed reason to stop."""

from pyworker.database.gateway import Gateway
from pyworker.log import EventLog

__all__ = ["send_stop_signals"]


def send_stop_signals(gateway: Gateway, supervisor: int, log: EventLog) -> int:
    """Have the signals sent for committed reasons to stop."""
    sent = gateway.supervisor_send_stop_signals(supervisor)
    for one in sent:
        log.emit(
            "stop_signal_sent",
            job_id=one.job_id,
            attempt=one.attempt,
            owner=one.owner,
            pid=one.pid,
            signal=one.signal,
            reason=one.reason,
        )
    return len(sent)

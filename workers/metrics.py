"""Every series that a worker exports, with its unit in its name."""

from __future__ import annotations

from prometheus_client import Counter, Gauge

from workers.tally import Tally, TallyByLabel

__all__ = [
    "AGENT_FAILURES",
    "CALLS",
    "CALLS_POISONED",
    "CALLS_TAKEN",
    "COMMITS",
    "CONCEALED",
    "EVENTS_UNREADABLE",
    "HANDLERS_CUT",
    "HANDLERS_DEAF",
    "HANDOVERS",
    "INFO",
    "LAG",
    "LOOP_BLOCKED",
    "PAYLOADS_REFUSED",
    "RESTORES",
    "TAKEOVERS",
]

INFO = Gauge("trunkline_worker_info", "1, and what this worker runs", ["version", "agent"])
CALLS = Gauge("trunkline_worker_calls", "Calls that this worker runs now")
CALLS_TAKEN = Counter("trunkline_worker_calls_taken", "Calls taken from dispatch")
TAKEOVERS = Counter("trunkline_worker_takeovers", "Calls taken over from workers that died")
HANDOVERS = Counter("trunkline_worker_handovers", "Calls handed over to other workers")
RESTORES = Counter(
    "trunkline_worker_restores", "Calls given back to Redis after it had lost some of them"
)
CALLS_POISONED = Counter(
    "trunkline_worker_calls_poisoned", "Calls ended because their workers died of them"
)
COMMITS = TallyByLabel("trunkline_worker_commits", "Commits by their answer", "answer")
AGENT_FAILURES = Counter(
    "trunkline_worker_agent_failures", "Calls ended by an agent's exception, or for want of a codec"
)
HANDLERS_CUT = Counter(
    "trunkline_worker_handlers_cut", "Handlers cancelled because they outlasted their call"
)
HANDLERS_DEAF = Counter(
    "trunkline_worker_handlers_deaf", "Handlers left behind because they went on when cancelled"
)
LOOP_BLOCKED = Counter(
    "trunkline_worker_loop_blocked", "Times that a handler blocked the process for half a lease"
)
EVENTS_UNREADABLE = Counter(
    "trunkline_worker_events_unreadable", "Entries of event streams that could not be decoded"
)
PAYLOADS_REFUSED = Counter(
    "trunkline_worker_payloads_refused", "Payloads that were no audio of their format"
)
CONCEALED = Counter(
    "trunkline_worker_concealed_seconds", "Audio made up for what was lost on its way to us"
)
LAG = Tally(
    "trunkline_worker_lag_seconds",
    "Age of an event when its handler begins",
    buckets=(0.002, 0.005, 0.01, 0.02, 0.05, 0.1, 0.2, 0.5, 1, 5),
)

"""Every series that an edge exports, with its unit in its name."""

from __future__ import annotations

from functools import cache

from prometheus_client import Counter, Gauge, Histogram

from common.events import EndReason

__all__ = [
    "CALLS_REANNOUNCED",
    "CALLS_REFUSED",
    "CALLS_VANISHED",
    "COMMANDS_UNREADABLE",
    "EVENTS_REPLAYED",
    "ForProvider",
    "for_provider",
]

_CALLS = Gauge("trunkline_edge_calls", "Calls that are on now", ["provider"])
_CALLS_STARTED = Counter("trunkline_edge_calls_started", "Calls started", ["provider"])
_CALLS_ENDED = Counter("trunkline_edge_calls_ended", "Calls ended", ["provider", "reason"])
CALLS_REFUSED = Counter("trunkline_edge_calls_refused", "Sockets refused before a call", ["reason"])
_AUDIO_IN = Counter("trunkline_edge_audio_in_bytes", "Audio from callers", ["provider"])
_MESSAGES_OUT = Counter("trunkline_edge_messages_out", "Messages to providers", ["provider"])
_AUDIO_DROPPED = Counter(
    "trunkline_edge_audio_dropped_seconds",
    "Audio left out for a provider that was slow",
    ["provider"],
)
_IGNORED = Counter(
    "trunkline_edge_ignored", "Messages and commands without effect", ["provider", "reason"]
)
_MARKS = Counter("trunkline_edge_marks", "Marks ended", ["provider", "outcome"])
COMMANDS_UNREADABLE = Counter(
    "trunkline_edge_commands_unreadable", "Entries of command streams that could not be decoded"
)
CALLS_REANNOUNCED = Counter(
    "trunkline_edge_reannounced", "Announcements of calls that Redis may have lost"
)
CALLS_VANISHED = Counter(
    "trunkline_edge_vanished", "Calls whose keys Redis has lost while it was up"
)
EVENTS_REPLAYED = Counter(
    "trunkline_edge_events_replayed", "Events that another Redis lacked and was given"
)
_CLEAR_TO_SILENCE = Histogram(
    "trunkline_edge_clear_to_silence_seconds",
    "From the arrival of a clear at the edge to its last byte on the wire",
    ["provider"],
    buckets=(0.001, 0.002, 0.005, 0.01, 0.02, 0.05, 0.1, 0.2, 0.5),
)


@cache
def for_provider(provider: str) -> ForProvider:
    """The same for all sessions of a provider."""
    return ForProvider(provider)


class ForProvider:
    """The series of one provider, looked up once and not once a message; see `for_provider`."""

    def __init__(self, provider: str) -> None:
        self._provider = provider
        self.calls = _CALLS.labels(provider)
        self.calls_started = _CALLS_STARTED.labels(provider)
        self.audio_in_bytes = _AUDIO_IN.labels(provider)
        self.messages_out = _MESSAGES_OUT.labels(provider)
        self.audio_dropped_s = _AUDIO_DROPPED.labels(provider)
        # From zero on, or an alarm would not see the first of each.
        for reason in EndReason:
            _CALLS_ENDED.labels(provider, reason)
        self.clear_to_silence_s = _CLEAR_TO_SILENCE.labels(provider)

    def call_ended(self, reason: str) -> None:
        self.calls.dec()
        _CALLS_ENDED.labels(self._provider, reason).inc()

    def mark_ended(self, outcome: str) -> None:
        _MARKS.labels(self._provider, outcome).inc()

    def ignored(self, reason: str, count: int = 1) -> None:
        _IGNORED.labels(self._provider, reason).inc(count)

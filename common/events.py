"""What can happen on a call, in our own words: provider -> edge -> worker.

Rule 1: an event is a past fact, named in the past tense, and immutable.
Rule 2: nothing here names a provider; what only one provider knows goes into `metadata`.
Rule 3: fields are appended with defaults, never removed or reordered (`array_like` makes their
        order the schema); a tag is never reused.
Rule 4: `frozen=True` is repeated on every subclass, or strict type checks reject it.
"""

from __future__ import annotations

from enum import StrEnum
from typing import TypeAlias

import msgspec

from common.audio import AudioFormat

__all__ = [
    "DIGITS",
    "AudioReceived",
    "CallEnded",
    "CallStarted",
    "DtmfReceived",
    "EndReason",
    "Event",
    "MarkOutcome",
    "MarkReached",
    "Metadata",
    "ProviderFailed",
]

#: What a provider tells about a call beyond the canonical fields, under the provider's own names.
Metadata: TypeAlias = dict[str, str | int | float | bool | list[str] | dict[str, str]]


#: The keys of a telephone, ITU-T Q.23.
DIGITS = frozenset("0123456789*#ABCD")


class EndReason(StrEnum):
    """Who ended the call."""

    CALLER_HUNG_UP = "caller_hung_up"  # the provider said that the stream is over
    AGENT_HUNG_UP = "agent_hung_up"  # the agent asked for it
    AGENT_FAILED = "agent_failed"  # the agent's code raised, or cannot have the call
    CONNECTION_LOST = "connection_lost"  # the socket broke without a word
    PROTOCOL_VIOLATED = "protocol_violated"  # the provider broke its own protocol
    NOT_TAKEN = "not_taken"  # no worker took the call in time
    EDGE_DRAINED = "edge_drained"  # the edge was stopped before the call ended
    EDGE_FAILED = "edge_failed"  # a fault of ours at the edge
    EDGE_LOST = "edge_lost"  # the edge died, and the caller's socket with it


class MarkOutcome(StrEnum):
    """How a mark ended; every mark ends exactly once."""

    PLAYED = "played"  # the audio before it was heard
    CLEARED = "cleared"  # a clear removed it before it was reached
    LOST = "lost"  # the call ended first


class _Event(msgspec.Struct, frozen=True, array_like=True, tag_field="type"):
    pass


class CallStarted(_Event, frozen=True, tag="start"):
    """The stream is open. `format` is what the caller's audio arrives in, `play_format` what the
    provider wants back (None: the same). `sends_dtmf`: the provider has a message for keys that
    we press; `reports_dtmf`: one for keys that the caller presses."""

    provider: str
    format: AudioFormat
    provider_call_id: str = ""
    provider_stream_id: str = ""
    play_format: AudioFormat | None = None
    metadata: Metadata = {}
    sends_dtmf: bool = False
    reports_dtmf: bool = True


class AudioReceived(_Event, frozen=True, tag="audio"):
    """One frame from the caller, undecoded. `offset_ms` is the time since the first sample of the
    stream, by sample count; `sequence` counts frames from 1; `lost_frames` were missing before.
    `provider_sequence` is the provider's own number of the message, 0 where it gives none."""

    payload: bytes
    offset_ms: int
    sequence: int
    lost_frames: int = 0
    track: str = "inbound"
    provider_sequence: int = 0


class DtmfReceived(_Event, frozen=True, tag="dtmf"):
    """A key was pressed. `digit` is one of 0-9 * # A-D; `duration_ms` is 0 when unknown."""

    digit: str
    duration_ms: int = 0


class MarkReached(_Event, frozen=True, tag="mark"):
    """A mark ended. `heard_ms` is how much the caller heard of the audio between the mark (or
    clear, or start) before it and this one."""

    name: str
    outcome: MarkOutcome = MarkOutcome.PLAYED
    heard_ms: int = 0


class ProviderFailed(_Event, frozen=True, tag="error"):
    """The provider, or the edge in its name, refused something; the call goes on."""

    code: str
    title: str = ""
    detail: str = ""


class CallEnded(_Event, frozen=True, tag="stop"):
    """The last event of every call, exactly once."""

    reason: EndReason
    detail: str = ""
    metadata: Metadata = {}


Event: TypeAlias = (
    CallStarted | AudioReceived | DtmfReceived | MarkReached | ProviderFailed | CallEnded
)

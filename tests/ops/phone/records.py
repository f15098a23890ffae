"""Calls that never took place, for the tests of what is said about them."""

from __future__ import annotations

from ops.phone import speech
from ops.phone.dialects import known_dialects
from ops.phone.line import CallRecord, Script

__all__ = ["FRAMES", "echoed_call", "echoed_packets", "silent_call"]

TWILIO = known_dialects()["twilio"]
FRAMES = speech.tune(TWILIO.format, chunk_ms=20, seconds=1)


def silent_call(*, expects_echo: bool = False, provider: str = "twilio") -> CallRecord:
    """All was sent, nothing came back."""
    dialect = known_dialects()[provider]
    record = CallRecord(dialect, Script(FRAMES, expects_echo=expects_echo))
    record.sent_at = [number * 0.02 for number in range(len(FRAMES))]
    record.close_code = 1000
    record.ended_at = 100.0
    return record


def echoed_call(
    frames: list[bytes] = FRAMES, *, expects_echo: bool = False, provider: str = "twilio"
) -> CallRecord:
    """Each frame of `frames` came 10 ms after its turn."""
    record = silent_call(expects_echo=expects_echo, provider=provider)
    for number, frame in enumerate(frames):
        at = number * 0.02 + 0.01
        record.received += frame
        record.arrivals.append((len(record.received), at))
        record.playout.play(frame, len(frame), now=at)
    return record


def echoed_packets() -> CallRecord:
    """The same second in Opus."""
    opus = known_dialects()["telnyx"].variants["OPUS"]
    packets = speech.tune(opus.format, chunk_ms=20, seconds=1)
    record = CallRecord(opus, Script(packets, expects_echo=True))
    record.sent_at = [number * 0.02 for number in range(len(packets))]
    record.ended_at = 100.0
    for number, packet in enumerate(packets):
        at = number * 0.02 + 0.01
        record.received += packet
        record.arrivals.append((len(record.received), at))
        record.playout.play(packet, 320, now=at)
    return record

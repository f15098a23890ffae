"""sunvone: an inbound call over a raw socket, as the telephony side lives it.

It connects, is silent while it rings (the protocol's own example takes 5 s, this one half a
second), then says `incoming_call`. Nothing but `hangup` may come before `answer`. Audio is binary
both ways; there are no marks. Whoever says `hangup`, the telephony side follows with the call's
record (`cdr`) and closes the socket.

The newer protocol knows `interrupt`, which drops the audio already sent: the variant `interrupt`.
That audio is 16-bit little-endian at 8 kHz is told by a comment in the example server only.
"""

from __future__ import annotations

import uuid
from datetime import datetime
from functools import partial
from typing import Annotated, TypeAlias

import msgspec
from msgspec import Meta

from common.audio import AudioFormat
from ops.phone.dialect import (
    Answer,
    AudioToPlay,
    Clear,
    Dialect,
    Fault,
    HangUp,
    KeyToPress,
    Received,
    WsMessage,
    audio_to_play,
    decode,
    encode,
)
from ops.phone.wall_clock import Clock, iso, utc_now

__all__ = ["DIALECT", "SunvoneManners"]

_FORMAT = AudioFormat.pcm(8000)
_SILENT_S = 0.5
_CALLER = "+4930901820"
_CALLED = "+49301234567"


class _Strict(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    pass


class _Answer(_Strict, frozen=True, tag_field="event", tag="answer"):
    pass


class _Dtmf(_Strict, frozen=True, tag_field="event", tag="dtmf"):
    digit: Annotated[str, Meta(pattern=r"^[0-9*#]\Z")]
    duration: Annotated[int, Meta(ge=1, le=1000)]  # ms


class _HangUp(_Strict, frozen=True, tag_field="event", tag="hangup"):
    pass


class _Interrupt(_Strict, frozen=True, tag_field="event", tag="interrupt"):
    pass


_Frame: TypeAlias = _Answer | _Dtmf | _HangUp | _Interrupt
_decoder: msgspec.json.Decoder[_Frame] = msgspec.json.Decoder(_Frame)

#: What may not come before the answer.
_AFTER_ANSWER = {AudioToPlay: "audio", Clear: "`interrupt`", KeyToPress: "`dtmf`"}


class SunvoneManners:
    def __init__(
        self, *, session_id: str, knows_interrupt: bool = False, now: Clock = utc_now
    ) -> None:
        self._session_id = session_id
        self._knows_interrupt = knows_interrupt
        self._now = now
        self._started_at: datetime | None = None
        self._answered_at: datetime | None = None
        self._is_hung_up = False  # by the far end

    def open(self) -> list[WsMessage]:
        self._started_at = self._now()
        ids = {"callerId": _CALLER, "didNumber": _CALLED, "sessionId": self._session_id}
        return [encode({"event": "incoming_call", **ids})]

    def media(self, payload: bytes) -> list[WsMessage]:
        return [payload]

    def dtmf(self, digit: str) -> list[WsMessage]:
        return [encode({"event": "dtmf", "digit": digit})]

    def mark_echo(self, name: str, *, is_cleared: bool) -> list[WsMessage]:
        return []

    def stop(self) -> list[WsMessage]:
        cdr = encode({"event": "cdr", **self._call_record()})
        return [cdr] if self._is_hung_up else [encode({"event": "hangup"}), cdr]

    def receive(self, message: WsMessage) -> Received:
        if isinstance(message, bytes):
            received: Received = audio_to_play(message, _FORMAT)
        else:
            received = self._read(message)
        what = _AFTER_ANSWER.get(type(received))
        if what is not None and self._answered_at is None:
            return Fault(f"{what} before the answer")
        return received

    def _read(self, message: str) -> Received:
        frame = decode(message, _decoder)
        match frame:
            case _Answer():
                self._answered_at = self._answered_at or self._now()
                return Answer()
            case _Dtmf(digit=digit):
                return KeyToPress(digit)
            case _HangUp():
                self._is_hung_up = True
                return HangUp()
            case _Interrupt() if self._knows_interrupt:
                return Clear()
            case _Interrupt():
                return Fault("`interrupt`, which this version of the protocol does not know")
            case Fault():
                return frame

    def _call_record(self) -> dict[str, object]:
        ended_at = self._now()
        return {
            "sessionId": self._session_id,
            "source": _CALLER,
            "destination": _CALLED,
            "startTime": _told(self._started_at),
            "answerTime": _told(self._answered_at),
            "endTime": _told(ended_at),
            "duration": _seconds(self._started_at, ended_at),
            "billableSeconds": round(_seconds(self._answered_at, ended_at)),
            "disposition": "ANSWERED" if self._answered_at else "NO ANSWER",
            "hangupBy": "callee" if self._is_hung_up else "caller",
            "hangupCauseCode": "16" if self._answered_at else "19",
            "hangupCauseText": "NORMAL_CLEARING" if self._answered_at else "NO_ANSWER",
        }


def _told(at: datetime | None) -> str | None:
    return None if at is None else iso(at, "milliseconds")


def _seconds(since: datetime | None, until: datetime) -> float:
    return 0 if since is None else round((until - since).total_seconds(), 3)


def _open_call(*, knows_interrupt: bool) -> SunvoneManners:
    return SunvoneManners(session_id=str(uuid.uuid4()), knows_interrupt=knows_interrupt)


def _dialect(*, knows_interrupt: bool) -> Dialect:
    return Dialect(
        "sunvone",
        _FORMAT,
        partial(_open_call, knows_interrupt=knows_interrupt),
        has_dtmf=True,
        takes_dtmf=True,
        rings=True,
        silent_s=_SILENT_S,
        tells_clear=knows_interrupt,
    )


DIALECT = _dialect(knows_interrupt=False)._replace(
    variants={"interrupt": _dialect(knows_interrupt=True)}
)

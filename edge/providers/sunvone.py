"""sunvone: an inbound call over a raw socket; JSON text for control, audio as binary both ways.

The telephony side connects and may be silent for seconds before `incoming_call`. Nothing may be
played before we have sent `answer`. After `hangup`, from either side, the call's record (`cdr`) may
follow before the socket closes. There are no marks: they are told from the pacer's clock.

The audio format is known from a comment in the example server only, so it is a setting. A newer
version of the protocol knows `interrupt`, which drops the audio already sent; peers of the older
one do not, so it is a setting too, and without it little is sent ahead.
"""

from __future__ import annotations

from typing import Annotated, TypeAlias

import msgspec
from msgspec import Meta

from common.audio import AudioFormat
from common.commands import Answer, ClearPlayback, Command, HangUp, PlayAudio, SendDtmf
from common.errors import MessageError, UnsupportedError
from common.events import CallEnded, CallStarted, DtmfReceived, EndReason
from edge.adapter import (
    FirstFrame,
    HungUp,
    MediaReceived,
    Message,
    Ordering,
    Provider,
    Receipt,
    Recognition,
    Traits,
    guarded,
)
from edge.frames import decode, known, optional_id, valid_digit

__all__ = ["PROVIDER", "SunvoneAdapter", "SunvoneOptions"]

#: What the protocol allows us to send; the keys A-D it only receives.
_DIGITS = frozenset("0123456789*#")
_MAX_DTMF_MS = 1000
_USUAL_DTMF_MS = 100

_SILENT_START_S = 30.0


class SunvoneOptions(msgspec.Struct, frozen=True):
    format: Annotated[
        AudioFormat, Meta(description="what sunvone sends and takes, as ENCODING/HZ")
    ] = AudioFormat.pcm(8000)
    interrupt: Annotated[
        bool, Meta(description="whether the peer knows `interrupt`, so that a clear reaches it")
    ] = False


class _Frame(msgspec.Struct, frozen=True, rename="camel", tag_field="event", kw_only=True):
    pass


class _IncomingCall(_Frame, frozen=True, tag="incoming_call"):
    caller_id: str | None = None
    did_number: str | None = None
    session_id: str = ""


class _Dtmf(_Frame, frozen=True, tag="dtmf"):
    digit: str


class _HungUp(_Frame, frozen=True, tag="hangup"):
    pass


#: Told to people, not reckoned with; what an unanswered call lacks may come as null.
_Told: TypeAlias = str | int | float | None


class _CallRecord(_Frame, frozen=True, tag="cdr"):
    session_id: _Told = None
    source: _Told = None
    destination: _Told = None
    start_time: _Told = None
    answer_time: _Told = None
    end_time: _Told = None
    duration: _Told = None
    billable_seconds: _Told = None
    disposition: _Told = None
    hangup_by: _Told = None
    hangup_cause_code: _Told = None
    hangup_cause_text: _Told = None


_AnyFrame: TypeAlias = _IncomingCall | _Dtmf | _HungUp | _CallRecord
_decoder: msgspec.json.Decoder[_AnyFrame] = msgspec.json.Decoder(_AnyFrame)


class SunvoneAdapter:
    ordering = Ordering()

    def __init__(self, options: SunvoneOptions) -> None:
        self.traits = Traits(
            echoes_marks=False,
            clears=options.interrupt,
            waits_for_answer=True,
            tells_more_after_hang_up=True,
        )
        self._format = options.format
        self._session_id = ""
        self._to_send: list[Message] = []

    @guarded
    def receive(self, message: Message) -> list[Receipt]:
        if isinstance(message, bytes):
            return [MediaReceived(message)]
        frame = decode(_decoder, message)
        match frame:
            case _IncomingCall():
                return [self._started(frame)]
            case _Dtmf():
                return [DtmfReceived(valid_digit(frame.digit))]
            case _HungUp():
                return [HungUp(EndReason.CALLER_HUNG_UP)]
            case _CallRecord():
                return [CallEnded(EndReason.CALLER_HUNG_UP, metadata={"cdr": _texts(frame)})]

    def send(self, command: Command) -> None:
        match command:
            case Answer():
                self._tell({"event": "answer"})
            case PlayAudio(payload=payload):
                self._to_send.append(payload)
            case ClearPlayback() if self.traits.clears:
                self._tell({"event": "interrupt"})
            case SendDtmf():
                self._press(command)
            case HangUp():
                self._tell({"event": "hangup"})

    def messages_to_send(self) -> list[Message]:
        messages, self._to_send = self._to_send, []
        return messages

    def _press(self, command: SendDtmf) -> None:
        duration_ms = command.duration_ms or _USUAL_DTMF_MS
        if not _DIGITS.issuperset(command.digits):
            raise UnsupportedError("sunvone sends the digits 0-9 * # only")
        if duration_ms > _MAX_DTMF_MS:
            raise UnsupportedError(f"sunvone presses a key for at most {_MAX_DTMF_MS} ms")
        for digit in command.digits:
            self._tell({"event": "dtmf", "digit": digit, "duration": duration_ms})

    def _tell(self, frame: dict[str, object]) -> None:
        self._to_send.append(msgspec.json.encode(frame).decode())

    def _started(self, frame: _IncomingCall) -> CallStarted:
        session_id = optional_id(frame.session_id)
        if self._session_id and session_id != self._session_id:
            raise MessageError("other_stream")
        self._session_id = session_id
        return CallStarted(
            provider=PROVIDER.name,
            format=self._format,
            provider_call_id=session_id,
            provider_stream_id=session_id,
            metadata=known({"from": frame.caller_id, "to": frame.did_number}),
            sends_dtmf=True,
        )


def _texts(record: _CallRecord) -> dict[str, str]:
    told = msgspec.structs.asdict(record)
    return {name: str(value) for name, value in told.items() if value is not None}


def recognise(frame: FirstFrame) -> Recognition:
    is_call = frame.get("event") == "incoming_call"
    return Recognition.YES if is_call else Recognition.NO


PROVIDER = Provider("sunvone", SunvoneOptions, SunvoneAdapter, recognise, _SILENT_START_S)

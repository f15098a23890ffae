"""What an agent can ask of a call: worker -> edge -> provider.

Rules 1 to 4 of `common.events` hold here too, but for the mood: a command is a request, named in
the imperative.
"""

from __future__ import annotations

from typing import TypeAlias

import msgspec

from common.events import EndReason

__all__ = ["Answer", "ClearPlayback", "Command", "HangUp", "PlayAudio", "SendDtmf", "SetMark"]


class _Command(msgspec.Struct, frozen=True, array_like=True, tag_field="type"):
    pass


class Answer(_Command, frozen=True, tag="answer"):
    """Take the call. Nothing happens on providers that stream only answered calls."""


class PlayAudio(_Command, frozen=True, tag="media"):
    """Play `payload`, encoded in the call's play format, after everything queued before it.
    `samples` says how long it lasts where the bytes do not tell (Opus, AMR-WB, MP3)."""

    payload: bytes
    samples: int = 0


class SetMark(_Command, frozen=True, tag="mark"):
    """Report when everything queued before has been heard."""

    name: str


class ClearPlayback(_Command, frozen=True, tag="clear"):
    """Stop playing now: drop all queued audio, here and at the provider; marks end as cleared."""


class SendDtmf(_Command, frozen=True, tag="dtmf"):
    """Press keys towards the caller's side, after the audio queued before. Digits 0-9 * # A-D."""

    digits: str
    duration_ms: int = 0


class HangUp(_Command, frozen=True, tag="hangup"):
    """End the call once everything queued before has been heard."""

    reason: EndReason = EndReason.AGENT_HUNG_UP
    detail: str = ""


Command: TypeAlias = Answer | PlayAudio | SetMark | ClearPlayback | SendDtmf | HangUp

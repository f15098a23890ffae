"""What users write: an agent, a fold over the events of one call.

One instance per call. Handlers run one after another, never at once, so they need no locks; while
one is awaited the call's next event waits. Work that must not hold the call up goes to
`call.spawn`, and so does whatever waits for another handler, which never runs before this one has
returned. Work that would hold the process up goes to `call.offload`.

A handler may take its time while the caller is there. Once the call has ended it is cancelled after
TRUNKLINE_END_TIMEOUT_S, and `on_stop` is next, with as long.
"""

from __future__ import annotations

from typing import ClassVar

import msgspec

from common.audio import AudioFormat
from common.events import CallEnded, DtmfReceived, MarkReached, ProviderFailed
from workers.audio.sound import HeardAudio
from workers.call import Call
from workers.voice.speech import SpeechSettings, SpeechStarted, SpeechStopped

__all__ = ["Agent"]


class Agent:
    #: `AudioFormat.pcm(rate)`: what `on_audio` gets, whatever the provider sends, and what stands
    #: for lost frames besides. None: frames as they come, decoded if looked at, and lost ones not.
    listen: ClassVar[AudioFormat | None] = None
    #: The tracks that `on_audio` gets, where a provider sends more than what the caller says.
    tracks: ClassVar[frozenset[str]] = frozenset({"inbound"})
    #: Whether `on_dtmf` is told keys that are heard as tones, where the provider reports none.
    detect_dtmf: ClassVar[bool] = False
    #: Whether what it plays has to be encoded: arrays, sounds, files, the tones of keys. Then a
    #: call ends before `on_start` where its format cannot be, as AMR-WB without its library. False:
    #: it plays nothing, or bytes as they come, for instance what it hears without `listen`.
    needs_encoder: ClassVar[bool] = True
    #: When `on_speech_started` and `on_speech_stopped` are told; None: never.
    speech: ClassVar[SpeechSettings | None] = None
    #: A Struct of what the agent must remember when its worker dies; None: nothing. It is stored
    #: after every handled event; each call begins with `State()`, so every field has a default.
    State: ClassVar[type[msgspec.Struct] | None] = None

    @classmethod
    def prepare(cls) -> None:
        """Once in each worker, before its first call: load and check what all calls share. Blocks;
        a UsageError ends the worker with its message."""

    async def on_start(self, call: Call) -> None:
        """The call is on. Always the first."""

    async def on_resumed(self, call: Call) -> None:
        """This worker goes on with a call that another one ran: first of all here, with the state
        as it was. Whoever has work beside the handlers (`call.spawn`) starts it again; what is
        issued here may be issued again by the next owner."""

    async def on_audio(self, call: Call, audio: HeardAudio) -> None:
        """The caller was heard, usually for 20 ms."""

    async def on_speech_started(self, call: Call, speech: SpeechStarted) -> None:
        """The caller began to speak, at `speech.offset_ms`. Told before the frame that made it
        sure."""

    async def on_speech_stopped(self, call: Call, speech: SpeechStopped) -> None:
        """The caller fell silent, at `speech.offset_ms`."""

    async def on_dtmf(self, call: Call, dtmf: DtmfReceived) -> None:
        """The caller pressed a key: `dtmf.digit`, one of 0-9 * # A-D."""

    async def on_mark(self, call: Call, mark: MarkReached) -> None:
        """A mark ended: `mark.name`, `mark.outcome` (played, cleared or lost), and `mark.heard_ms`
        of the audio that was queued before it."""

    async def on_error(self, call: Call, error: ProviderFailed) -> None:
        """The provider refused something; the call goes on."""

    async def on_stop(self, call: Call, stop: CallEnded) -> None:
        """The call is over: `stop.reason`. Always the last; nothing can be played any more."""

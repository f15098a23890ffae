"""What agents are written with: `from workers import Agent, Call, ...`."""

from common.audio import AudioFormat
from common.events import CallEnded, DtmfReceived, MarkOutcome, MarkReached, ProviderFailed
from workers.agent import Agent
from workers.audio.files import load_sound
from workers.audio.sound import HeardAudio, Sound, wav
from workers.call import Call
from workers.voice.speech import SpeechSettings, SpeechStarted, SpeechStopped

__all__ = [
    "Agent",
    "AudioFormat",
    "Call",
    "CallEnded",
    "DtmfReceived",
    "HeardAudio",
    "MarkOutcome",
    "MarkReached",
    "ProviderFailed",
    "Sound",
    "SpeechSettings",
    "SpeechStarted",
    "SpeechStopped",
    "load_sound",
    "wav",
]

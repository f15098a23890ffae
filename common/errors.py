"""Every exception that Trunkline raises on purpose; the name says what the catcher does.

TrunklineError
    UsageError              the user can mend it: print the message, exit `exit_code`
        SettingsError       wrong environment, every fault in one message (exit code 2)
    LinkError               Redis did not answer: retry what is idempotent
        ServerChangedError  Redis is another one than before, with nothing of the request sent to
                            it: give it again what it may lack, and repeat
    ReplyError              Redis answered with an error: a bug or an alarm, do not retry
    WireError               a stored entry cannot be decoded: quarantine it
    MessageError            (edge) a provider's message is unusable: ignore it and count it
    ViolationError          (edge) a provider broke its protocol: close with `code`
    UnsupportedError        (edge) a provider cannot do what a command asks: tell the agent
    AgentError              (worker) the agent asked for something impossible: its bug
    CodecError              (worker) a payload is no audio of its format: as lost; count it

Anything else that is raised is a bug of ours.
"""

from __future__ import annotations

__all__ = [
    "AgentError",
    "CodecError",
    "LinkError",
    "MessageError",
    "ReplyError",
    "ServerChangedError",
    "SettingsError",
    "TrunklineError",
    "UnsupportedError",
    "UsageError",
    "ViolationError",
    "WireError",
]


class TrunklineError(Exception):
    pass


class UsageError(TrunklineError):
    exit_code = 1


class SettingsError(UsageError):
    exit_code = 2

    def __init__(self, faults: list[str]) -> None:
        self.faults = faults
        lines = "".join(f"\n  {fault}" for fault in faults)
        count = "1 setting is" if len(faults) == 1 else f"{len(faults)} settings are"
        super().__init__(f"{count} wrong:{lines}")


class LinkError(TrunklineError):
    pass


class ServerChangedError(LinkError):
    pass


class ReplyError(TrunklineError):
    pass


class WireError(TrunklineError):
    pass


class MessageError(TrunklineError):
    """`reason` is a metric label: a few fixed words, never the peer's text."""

    def __init__(self, reason: str) -> None:
        self.reason = reason
        super().__init__(reason)


class ViolationError(TrunklineError):
    """`code` is the WebSocket close code, `reason` the text of the close frame."""

    def __init__(self, code: int, reason: str) -> None:
        self.code = code
        self.reason = reason
        super().__init__(f"{code} {reason}")


class UnsupportedError(TrunklineError):
    pass


class AgentError(TrunklineError):
    pass


class CodecError(TrunklineError):
    pass

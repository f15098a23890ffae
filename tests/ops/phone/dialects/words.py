"""What the tests of every dialect need: audio, and what was said as JSON."""

from __future__ import annotations

import base64
import json
from typing import Any

from ops.phone.dialect import WsMessage

__all__ = ["AUDIO", "PAYLOAD", "said"]

AUDIO = b"\x00\x7f\x80\xff" * 40
PAYLOAD = base64.b64encode(AUDIO).decode()


def said(*parts: list[WsMessage]) -> list[Any]:
    return [json.loads(message) for part in parts for message in part]

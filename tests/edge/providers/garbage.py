"""What may come over a socket instead of a JSON frame: the same for every provider of JSON."""

from __future__ import annotations

import msgspec
import pytest
from hypothesis import strategies as st

__all__ = ["BAD_BASE64", "FRAMES_OF_GARBAGE", "MESSAGES"]

_NESTED = "[" * 100_000 + "]" * 100_000

FRAMES_OF_GARBAGE = [
    pytest.param(message, id=name)
    for name, message in {
        "empty": "",
        "truncated": '{"event":"media","streamSid":"MZ1","med',
        "trailing data": '{"event":"media","streamSid":"MZ1","media":{"payload":"/w=="}}{}',
        "not a number": '{"event":"connected","x":NaN}',
        "byte order mark": '\ufeff{"event":"connected"}',
        "top-level array": '[{"event":"connected"}]',
        "top-level text": '"connected"',
        "nested": f'{{"event":"connected","x":{_NESTED}}}',
        "half a surrogate pair": '{"event":"connected","x":"\ud800"}',
        "no event": '{"streamSid":"MZ1"}',
        "event of another kind": '{"event":1}',
        "unknown event": '{"event":"fax","streamSid":"MZ1"}',
        "event in capitals": '{"event":"MEDIA","streamSid":"MZ1","media":{"payload":"/w=="}}',
        "media without a body": '{"event":"media","streamSid":"MZ1"}',
        "media without a payload": '{"event":"media","streamSid":"MZ1","media":{}}',
        "payload of another kind": '{"event":"media","streamSid":"MZ1","media":{"payload":[1]}}',
        "mark without a name": '{"event":"mark","streamSid":"MZ1","mark":{}}',
        "id of another kind": '{"event":"media","streamSid":1,"media":{"payload":"/w=="}}',
    }.items()
]

BAD_BASE64 = [
    pytest.param(payload, id=name)
    for name, payload in [
        ("bad character", "/w=!"),
        ("no padding", "/w"),
        ("too much padding", "===="),
        ("data after padding", "/w==/w=="),
        ("space", "/w= ="),
        ("newline", "/w==\n"),
        ("url-safe", "_w=="),
        ("not ASCII", "é/w="),
    ]
]

_json = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False) | st.text(),
    lambda inner: (
        st.lists(inner, max_size=3)
        | st.dictionaries(
            st.sampled_from(["streamSid", "payload", "name", "digit", "media", "mark"]) | st.text(),
            inner,
            max_size=4,
        )
    ),
    max_leaves=8,
)
_near_frames = st.builds(
    lambda event, body, sid: msgspec.json.encode(
        {"event": event, "streamSid": sid, event: body}
    ).decode(),
    st.sampled_from(["connected", "start", "media", "dtmf", "mark", "stop", "clear"]),
    _json,
    st.sampled_from(["MZ1", "", "MZ2"]) | st.text(),
)
#: Anything at all, often nearly a frame.
MESSAGES = st.one_of(
    st.text(st.characters()),
    st.binary(),
    _json.map(lambda value: msgspec.json.encode(value).decode()),
    _near_frames,
)

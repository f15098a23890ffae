from __future__ import annotations

import re
import uuid
from collections import Counter

from common.keys import CallKeys, lane_of, lanes

TAG = re.compile(rb"\{([^{}]+)\}")


def every_key(keys: CallKeys) -> list[bytes]:
    return [keys.calls, keys.workers, keys.ended, keys.call, keys.events, keys.commands]


def test_all_keys_of_a_lane_share_one_hash_tag() -> None:
    (lane,) = lanes("tl", 1)
    tags = {tag for key in [*every_key(lane.keys("c1")), lane.edges] for tag in TAG.findall(key)}
    assert tags == {b"tl:0"}


def test_keys_are_spelled_as_documented() -> None:
    lane = lanes("tl", 2)[1]
    assert lane.keys("c1") == CallKeys(
        "c1",
        b"{tl:1}:calls",
        b"{tl:1}:workers",
        b"{tl:1}:ended",
        b"{tl:1}:call:c1",
        b"{tl:1}:in:c1",
        b"{tl:1}:out:c1",
    )
    assert lane.workers == b"{tl:1}:workers"
    assert lane.edges == b"{tl:1}:edges"


def test_calls_do_not_share_keys() -> None:
    (lane,) = lanes("tl", 1)
    keys = [key for call in ("a", "b") for key in every_key(lane.keys(call))[3:]]
    assert len(set(keys)) == 6


def test_lanes_have_different_tags() -> None:
    assert len({lane.tag for lane in lanes("tl", 64)}) == 64


def test_call_stays_on_its_lane() -> None:
    assert lane_of("c1", lanes("tl", 8)) == lane_of("c1", lanes("tl", 8))


def test_calls_spread_evenly_over_lanes() -> None:
    every_lane = lanes("tl", 8)
    placed = Counter(
        lane_of(uuid.UUID(int=n * 7919 + 2**64 * n).hex, every_lane).number for n in range(4000)
    )
    assert len(placed) == 8
    assert min(placed.values()) > 400

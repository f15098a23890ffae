"""The proxy must be trusted before what it tests."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator

import pytest

from common.errors import LinkError
from common.link import Link
from tests.chaos_proxy import ChaosProxy
from tests.waiting import until


@pytest.fixture
async def link(proxy: ChaosProxy) -> AsyncIterator[Link]:
    link = Link(proxy.url, timeout_s=5.0)
    await link.execute([(b"PING",)])
    yield link
    await link.close()


async def test_every_byte_passes_in_order(link: Link) -> None:
    value = bytes(range(256)) * 4096
    set_reply, get_reply = await link.execute([(b"SET", b"k", value), (b"GET", b"k")])
    assert set_reply == b"OK"
    assert get_reply == value


async def test_dropped_reply_belongs_to_a_request_that_was_carried_out(
    proxy: ChaosProxy, link: Link
) -> None:
    lost = proxy.drop_next_reply(to=b"INCR")
    assert await link.execute([(b"PING",)]) == [b"PONG"]
    assert not lost.is_set()
    with pytest.raises(LinkError):
        await link.execute([(b"INCR", b"n")])
    assert lost.is_set()
    assert await link.execute([(b"INCR", b"n")]) == [2]


async def test_stalled_bytes_arrive_later(proxy: ChaosProxy, link: Link) -> None:
    link._timeout_s = 0.2
    proxy.stall()
    with pytest.raises(LinkError, match="time-out"):
        await link.execute([(b"SET", b"k", b"v")])
    proxy.resume()
    link._timeout_s = 5.0
    await until(lambda: value_is_there(link))


async def value_is_there(link: Link) -> bool:
    return await link.execute([(b"GET", b"k")]) == [b"v"]


async def test_stalled_reply_is_not_lost(proxy: ChaosProxy) -> None:
    link = Link(proxy.url, timeout_s=5.0)
    await link.execute([(b"PING",)])
    proxy.stall()
    asked = asyncio.create_task(link.execute([(b"ECHO", b"late")]))
    done, _ = await asyncio.wait([asked], timeout=0.05)
    assert not done
    proxy.resume()
    assert await asked == [b"late"]
    await link.close()


async def test_cut_connection_can_be_made_again(proxy: ChaosProxy, link: Link) -> None:
    proxy.cut()
    with pytest.raises(LinkError):
        await link.execute([(b"PING",)])
    assert await link.execute([(b"PING",)]) == [b"PONG"]
    assert proxy.connections == 2


async def test_nobody_gets_through_until_it_has_come_back(proxy: ChaosProxy, link: Link) -> None:
    await proxy.go_away()
    for _ in range(2):
        with pytest.raises(LinkError):
            await link.execute([(b"PING",)])
    await proxy.come_back()
    assert await link.execute([(b"PING",)]) == [b"PONG"]


@pytest.mark.parametrize(
    ("upstream", "client"),
    [
        ("redis://:pw@h:6380/3", "redis://:pw@127.0.0.1:0/3"),
        ("redis://h", "redis://127.0.0.1:0/0"),
        ("unix:///tmp/r.sock?db=2", "redis://127.0.0.1:0/2"),
        ("unix://u:pw@/tmp/r.sock", "redis://u:pw@127.0.0.1:0/0"),
    ],
)
def test_url_leads_to_the_same_database(upstream: str, client: str) -> None:
    assert ChaosProxy(upstream).url == client

from __future__ import annotations

import asyncio
import socket
from collections.abc import AsyncIterator, Iterator
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import pytest
from redis.asyncio import Redis

from common import bus
from common.errors import LinkError, ReplyError, ServerChangedError, UsageError
from common.keys import lanes
from common.link import Link
from ops import redis_server
from tests.chaos_proxy import ChaosProxy
from tests.redis_topologies import SERVICE, sentinel

KEYS = lanes("link", 1)[0].keys("c1")
ANNOUNCE = bus.announce(KEYS, "edge", b"first")


@pytest.fixture
async def link(redis_url: str) -> AsyncIterator[Link]:
    link = Link(redis_url, timeout_s=5.0)
    yield link
    await link.close()


@pytest.fixture
async def proxy(redis_url: str) -> AsyncIterator[ChaosProxy]:
    async with ChaosProxy.in_front_of(redis_url) as proxy:
        yield proxy


@pytest.fixture
async def proxied(proxy: ChaosProxy) -> AsyncIterator[Link]:
    """A link that has connected through the proxy."""
    link = Link(proxy.url, timeout_s=5.0)
    await link.execute([(b"PING",)])
    yield link
    await link.close()


async def test_server_that_is_doubted_is_looked_for_anew(link: Link) -> None:
    me = (b"CLIENT", b"ID")
    (first,), (again,) = await link.execute([me]), await link.execute([me])
    assert first == again
    link.doubt()
    (other,), (still,) = await link.execute([me]), await link.execute([me])
    assert other != first
    assert still == other


async def test_replies_come_in_the_order_of_the_requests(link: Link) -> None:
    requests = [(b"ECHO", b"%d" % n) for n in range(1000)]
    assert await link.execute(requests) == [b"%d" % n for n in range(1000)]


async def test_request_may_hold_text_and_numbers(link: Link) -> None:
    assert await link.execute([("SET", "k", 7), (b"GET", b"k")]) == [b"OK", b"7"]


@pytest.mark.parametrize(
    ("may_not", "request_"),
    [
        ("xadd", (b"XADD", b"stream", b"*", b"f", b"v")),
        ("hset", ANNOUNCE),
        ("script", (b"PING",)),
        ("evalsha", ANNOUNCE),
    ],
)
async def test_server_that_does_not_let_us_is_waited_for(
    redis: Any, redis_url: str, may_not: str, request_: tuple[bytes, ...]
) -> None:
    await redis.execute_command(
        "ACL", "SETUSER", "us", "reset", "on", ">secret", "~*", "+@all", f"-{may_not}"
    )
    divider = "&" if "?" in redis_url else "?"
    link = Link(f"{redis_url}{divider}username=us&password=secret", timeout_s=5.0)
    try:
        for _ in range(2):
            with pytest.raises(LinkError, match="Redis does not let us"):
                await link.execute([(b"PING",), request_])
        await redis.execute_command("ACL", "SETUSER", "us", f"+{may_not}")
        assert len(await link.execute([(b"PING",), request_])) == 2
    finally:
        await link.close()
        await redis.execute_command("ACL", "DELUSER", "us")


async def test_server_that_tells_nothing_about_itself_serves_all_the_same(
    redis: Any, redis_url: str
) -> None:
    await redis.execute_command(
        "ACL", "SETUSER", "us", "reset", "on", ">secret", "~*", "+@all", "-info"
    )
    divider = "&" if "?" in redis_url else "?"
    link = Link(f"{redis_url}{divider}username=us&password=secret", timeout_s=5.0)
    try:
        claim = bus.claim(KEYS, "w1:1")
        announced, claimed = await link.execute([ANNOUNCE, claim])
        assert announced == 1
        assert isinstance(bus.read_claim(claimed), bus.Claim)
    finally:
        await link.close()
        await redis.execute_command("ACL", "DELUSER", "us")


async def test_error_reply_is_a_value_among_the_others(link: Link) -> None:
    before, error, after = await link.execute([(b"ECHO", b"1"), (b"NOPE",), (b"ECHO", b"2")])
    assert (before, after) == (b"1", b"2")
    assert isinstance(error, ReplyError)
    assert "unknown command" in str(error)
    assert await link.execute([(b"ECHO", b"3")]) == [b"3"]


async def test_empty_batch_is_answered_at_once(link: Link) -> None:
    assert await link.execute([]) == []


async def test_scripts_are_there_after_connecting(link: Link) -> None:
    assert await link.execute([ANNOUNCE]) == [1]


async def test_flushed_scripts_are_loaded_again(link: Link, redis: Redis) -> None:
    await link.execute([(b"PING",)])
    await redis.script_flush()
    assert await link.execute([(b"ECHO", b"1"), ANNOUNCE, (b"ECHO", b"2")]) == [
        b"1",
        1,
        b"2",
    ]


async def test_request_that_relied_on_a_lost_script_is_carried_out_too(
    link: Link, redis: Redis
) -> None:
    await link.execute([(b"PING",)])
    await redis.script_flush()
    replies = await link.execute([ANNOUNCE, bus.append_event(KEYS, 2, b"second")])
    assert replies == [1, b"2-0"]


async def test_server_that_never_answers_is_a_link_error() -> None:
    with socket.create_server(("127.0.0.1", 0)) as silent:
        link = Link(f"redis://127.0.0.1:{silent.getsockname()[1]}", timeout_s=0.05)
        with pytest.raises(LinkError, match="does not answer: time-out"):
            await link.execute([(b"PING",)])


async def test_server_that_is_not_there_is_a_link_error() -> None:
    with pytest.raises(LinkError):
        await Link("unix:///nowhere/redis.sock", timeout_s=1.0).execute([(b"PING",)])


async def test_server_that_is_no_redis_is_a_link_error() -> None:
    with socket.create_server(("127.0.0.1", 0)) as stranger:
        link = Link(f"redis://127.0.0.1:{stranger.getsockname()[1]}", timeout_s=10.0)
        asked = asyncio.create_task(link.execute([(b"PING",)]))
        connection, _ = await asyncio.to_thread(stranger.accept)
        with connection:
            connection.sendall(b"HTTP/1.1 400 Bad Request\r\n\r\n")
            with pytest.raises(LinkError):
                await asked


async def test_late_reply_never_answers_a_later_request(proxy: ChaosProxy, proxied: Link) -> None:
    proxied._timeout_s = 0.05
    proxy.stall()
    with pytest.raises(LinkError):
        await proxied.execute([(b"ECHO", b"late")])
    proxy.resume()
    proxied._timeout_s = 5.0
    assert await proxied.execute([(b"ECHO", b"later")]) == [b"later"]


async def test_broken_connection_is_a_link_error_once(proxy: ChaosProxy, proxied: Link) -> None:
    proxy.cut()
    with pytest.raises(LinkError):
        await proxied.execute([(b"PING",)])
    assert await proxied.execute([(b"PING",)]) == [b"PONG"]


async def test_request_that_redis_holds_back_gets_more_time(proxied: Link) -> None:
    proxied._timeout_s = 0.05
    blocking = (b"XREAD", b"BLOCK", 100, b"STREAMS", b"s", b"0")
    assert await proxied.execute([blocking], block_s=5.0) == [None]


@pytest.mark.parametrize("steps", range(25))
async def test_cancelled_at_any_step_it_serves_the_next_request(redis_url: str, steps: int) -> None:
    link = Link(redis_url, timeout_s=5.0)
    asked = asyncio.create_task(link.execute([(b"ECHO", b"1"), (b"ECHO", b"2")]))
    for _ in range(steps):
        await asyncio.sleep(0)
    asked.cancel()
    await asyncio.wait([asked])
    assert await link.execute([(b"ECHO", b"next")]) == [b"next"]
    await link.close()


async def test_cancelled_in_a_blocking_read_it_serves_the_next_request(link: Link) -> None:
    await link.execute([(b"PING",)])
    blocking = (b"XREAD", b"BLOCK", 0, b"STREAMS", b"s", b"0")
    with pytest.raises(TimeoutError):
        await asyncio.wait_for(link.execute([blocking], block_s=60), 0.02)
    assert await link.execute([(b"ECHO", b"next")]) == [b"next"]


async def test_server_that_cannot_write_now_counts_as_no_answer(link: Link) -> None:
    limit = (b"CONFIG", b"SET", b"maxmemory")
    try:
        await link.execute([(*limit, 1)])
        with pytest.raises(LinkError, match="maxmemory"):
            await link.execute([(b"PING",), (b"SET", b"k", b"v"), (b"PING",)])
    finally:
        await link.execute([(*limit, 0)])
    assert await link.execute([(b"SET", b"k", b"v")]) == [b"OK"]


async def test_server_that_cannot_run_a_script_now_counts_as_no_answer(link: Link) -> None:
    limit = (b"CONFIG", b"SET", b"maxmemory")
    try:
        await link.execute([(*limit, 1)])
        with pytest.raises(LinkError, match="maxmemory"):
            await link.execute([ANNOUNCE])
    finally:
        await link.execute([(*limit, 0)])
    assert await link.execute([ANNOUNCE]) == [1]


async def test_url_that_redis_py_does_not_know_is_the_users_fault() -> None:
    with pytest.raises(UsageError, match="REDIS_URL"):
        Link("http://localhost", timeout_s=1.0)


@pytest.fixture
def private() -> Iterator[PrivateRedis]:
    """A server that a test may lose, and get back as another on the same URL."""
    with redis_server.fresh_directory() as directory:
        private = PrivateRedis(directory)
        yield private
        private.end()


class PrivateRedis:
    def __init__(self, directory: Path) -> None:
        self.url = redis_server.url_of(directory)
        self._directory = directory
        self._running = ExitStack()
        self.start()

    def start(self) -> None:
        binary = redis_server.find_binary()
        self._running.enter_context(redis_server.running(binary, directory=self._directory))

    def end(self) -> None:
        self._running.close()

    def restart(self) -> None:
        self.end()
        self.start()


async def test_server_that_was_replaced_is_told_once_before_anything_is_sent(
    private: PrivateRedis,
) -> None:
    link = Link(private.url, timeout_s=5.0)
    assert link.server_id == ""
    await link.execute([(b"SET", b"k", b"1")])
    before = link.server_id
    private.restart()
    with pytest.raises(LinkError):  # the connection has broken
        await link.execute([(b"INCR", b"k")])
    with pytest.raises(ServerChangedError):
        await link.execute([(b"INCR", b"k")])
    assert link.server_id not in ("", before)
    assert await link.execute([(b"EXISTS", b"k"), ANNOUNCE]) == [0, 1]
    await link.close()


async def test_server_that_was_lost_and_came_back_itself_is_the_same(
    proxy: ChaosProxy, proxied: Link
) -> None:
    before = proxied.server_id
    await proxy.go_away()
    for _ in range(2):
        with pytest.raises(LinkError):
            await proxied.execute([(b"PING",)])
    await proxy.come_back()
    assert await proxied.execute([(b"PING",)]) == [b"PONG"]
    assert proxied.server_id == before


async def test_server_that_was_promoted_is_another(private: PrivateRedis) -> None:
    """What it followed in between, it has now, and what it had, it may have lost."""
    link = Link(private.url, timeout_s=5.0)
    await link.execute([(b"REPLICAOF", b"127.0.0.1", 1)])
    await link.execute([(b"REPLICAOF", b"NO", b"ONE")])
    await link.close()
    with pytest.raises(ServerChangedError):
        await link.execute([(b"PING",)])
    assert await link.execute([(b"PING",)]) == [b"PONG"]
    await link.close()


async def test_change_that_a_fault_hides_is_told_later(private: PrivateRedis) -> None:
    """The server is replaced, and the first connection to the new one breaks while it greets."""
    async with ChaosProxy.in_front_of(private.url) as proxy:
        link = Link(proxy.url, timeout_s=5.0)
        await link.execute([(b"PING",)])
        private.restart()
        with pytest.raises(LinkError):
            await link.execute([(b"PING",)])
        lost = proxy.drop_next_reply(to=b"INFO")
        with pytest.raises(LinkError) as hidden:
            await link.execute([(b"PING",)])
        assert lost.is_set()
        assert hidden.type is LinkError
        with pytest.raises(ServerChangedError):
            await link.execute([(b"PING",)])
        assert await link.execute([(b"PING",)]) == [b"PONG"]
        await link.close()


async def test_server_that_does_not_tell_who_it_is_serves_all_the_same(
    private: PrivateRedis,
) -> None:
    async with Redis.from_url(private.url) as client:
        await client.acl_setuser("mute", True, nopass=True, keys="*", commands=["+@all", "-info"])
    link = Link(f"{private.url}?username=mute&password=any", timeout_s=5.0)
    assert await link.execute([(b"PING",)]) == [b"PONG"]
    assert link.server_id == ""
    await link.close()


async def test_server_that_is_a_replica_does_not_answer(private: PrivateRedis) -> None:
    """It would answer reads with what was, and writes not at all."""
    link = Link(private.url, timeout_s=5.0)
    await link.execute([(b"REPLICAOF", b"127.0.0.1", 1)])
    await link.close()
    for _ in range(2):
        with pytest.raises(LinkError, match="a replica"):
            await link.execute([(b"PING",)])


async def test_primary_that_is_no_more_is_asked_of_another_sentinel() -> None:
    """The first sentinel is sure of a server that is no more; the second knows better."""
    with sentinel(nodes=1, sentinels=1) as stale, sentinel(nodes=1, sentinels=1) as fresh:
        stale.nodes[0].kill()
        places = f"127.0.0.1:{stale.sentinels[0].port},127.0.0.1:{fresh.sentinels[0].port}"
        link = Link(f"redis+sentinel://{places}/{SERVICE}", timeout_s=5.0)
        with pytest.raises(LinkError):
            await link.execute([(b"PING",)])
        assert await link.execute([(b"PING",)]) == [b"PONG"]
        assert link.server_id.startswith(fresh.nodes[0].info("server")["run_id"])
        await link.close()

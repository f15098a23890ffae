"""What is particular about one connection; `test_link.py` tests it as it is used."""

from __future__ import annotations

from collections.abc import AsyncIterator

import pytest
from redis.asyncio import Redis

from common.connection import Connection, ScriptLostError
from common.errors import LinkError, ReplyError
from common.redis_url import Access, parse
from tests.chaos_proxy import ChaosProxy


def to(url: str) -> Connection:
    parsed = parse(url)
    return Connection(parsed.seeds[0], parsed.access)


@pytest.fixture
async def connection(redis_url: str) -> AsyncIterator[Connection]:
    connection = to(redis_url)
    async with connection.within(10.0):
        await connection.open()
    yield connection
    await connection.close()


def erring(text: str) -> tuple[bytes, ...]:
    return (b"EVAL", b"return redis.error_reply(ARGV[1])", b"0", text.encode())


@pytest.mark.parametrize(
    "text",
    [
        "MOVED 3999 127.0.0.1:6381",
        "ASK 3999 127.0.0.1:6381",
        "CLUSTERDOWN Hash slot not served",
        "TRYAGAIN Multiple keys request during rehashing of slot",
        "LOADING Redis is loading the dataset in memory",
        "READONLY You can't write against a read only replica.",
        "MASTERDOWN Link with MASTER is down",
        "NOREPLICAS Not enough good replicas to write.",
        "MISCONF Redis is configured to save RDB snapshots",
        "OOM command not allowed when used memory > 'maxmemory'.",
        "BUSY Redis is busy running a script.",
        "UNBLOCKED force unblock from blocking operation, instance state changed",
    ],
)
async def test_server_that_cannot_serve_now_does_not_answer(
    connection: Connection, text: str
) -> None:
    with pytest.raises(LinkError) as caught:
        async with connection.within(10.0):
            await connection.exchange([(b"PING",), erring(text), (b"PING",)])
    assert text.rstrip(".") in str(caught.value)
    assert not connection.is_open


@pytest.mark.parametrize(
    "text",
    [
        "ERR unknown command 'NOPE'",
        "WRONGTYPE Operation against a key holding the wrong kind of value",
        "NOGROUP No such key",
        "NOPERM this user has no permissions",
        "CROSSSLOT Keys in request don't hash to the same slot",
    ],
)
async def test_error_that_would_be_the_same_next_time_is_a_reply(
    connection: Connection, text: str
) -> None:
    async with connection.within(10.0):
        error, pong = await connection.exchange([erring(text), (b"PING",)])
    assert isinstance(error, ReplyError)
    assert text.partition(" ")[2] in str(error)
    assert pong == b"PONG"


async def test_script_that_is_not_there_is_told_apart(connection: Connection) -> None:
    async with connection.within(10.0):
        (lost,) = await connection.exchange([(b"EVALSHA", b"0" * 40, 0)])
    assert isinstance(lost, ScriptLostError)


async def test_name_password_database_and_client_name_are_used(
    redis_url: str, redis: Redis, connection: Connection
) -> None:
    await redis.acl_setuser("guest", True, passwords=["+s3"], keys="*", commands=["+@all"])
    options = "username=guest&password=s3&client_name=edge"
    named = to(f"{redis_url.partition('?')[0]}?{options}")
    try:
        async with named.within(10.0):
            await named.open()
            replies = await named.exchange([(b"ACL", b"WHOAMI"), (b"CLIENT", b"GETNAME")])
        assert replies == [b"guest", b"edge"]
    finally:
        await named.close()
        await redis.acl_deluser("guest")


async def test_what_redis_says_fits_into_a_sentence(connection: Connection) -> None:
    with pytest.raises(LinkError, match=r"READONLY no writes$"):
        async with connection.within(10.0):
            await connection.exchange(
                [erring("READONLY no writes. script: 0f, on @user_script:1.")]
            )


async def test_password_that_is_refused_is_not_repeated(redis_url: str) -> None:
    stranger = to(f"{redis_url.partition('?')[0]}?username=nobody&password=s3cret")
    with pytest.raises(LinkError, match="username-password") as caught:
        async with stranger.within(10.0):
            await stranger.open()
    assert "s3cret" not in str(caught.value)


async def test_server_without_tls_is_no_server_with_it(redis_url: str) -> None:
    async with ChaosProxy.in_front_of(redis_url) as proxy:
        options = "ssl_cert_reqs=none&ssl_check_hostname=no&ssl_ca_path=/etc"
        secured = to(f"{proxy.url.replace('redis://', 'rediss://')}?{options}")
        with pytest.raises(LinkError):
            async with secured.within(0.3):
                await secured.open()


def test_password_does_not_stand_in_a_traceback() -> None:
    assert "s3cret" not in repr(Access("guest", "s3cret"))

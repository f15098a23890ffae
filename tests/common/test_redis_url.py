from __future__ import annotations

import pytest

from common.redis_url import Access, Address, Kind, parse, redacted


@pytest.mark.parametrize(
    ("url", "seeds", "access"),
    [
        ("redis://", ("localhost", 6379), Access()),
        ("redis://cache/3", ("cache", 6379), Access(database=3)),
        ("redis://me:s%40%2F@cache:7000", ("cache", 7000), Access("me", "s@/")),
        ("redis://:s@[::1]:7000/0", ("::1", 7000), Access("", "s")),
        ("rediss://cache?db=2&client_name=edge", ("cache", 6379), Access("", "", 2, "edge", {})),
        ("unix:///run/r.sock", ("/run/r.sock", 0), Access()),
        ("unix://me:s@/run/r.sock?db=1", ("/run/r.sock", 0), Access("me", "s", 1)),
        ("unix:///run/r.sock?password=s", ("/run/r.sock", 0), Access("", "s")),
    ],
)
def test_one_server(url: str, seeds: tuple[str, int], access: Access) -> None:
    parsed = parse(url)
    assert (parsed.kind, parsed.seeds) == (Kind.SINGLE, (Address(*seeds),))
    assert parsed.access == access


def test_sentinels() -> None:
    parsed = parse("redis+sentinel://me:s@a,b:1,[::2]:2/calls/4?sentinel_password=t")
    assert parsed.kind is Kind.SENTINEL
    assert parsed.seeds == (Address("a", 26379), Address("b", 1), Address("::2", 2))
    assert parsed.service == "calls"
    assert parsed.access == Access("me", "s", 4)
    assert parsed.sentinel_access == Access("", "t")


def test_cluster() -> None:
    parsed = parse("rediss+cluster://:s@a:1,b,a:1")
    assert parsed.kind is Kind.CLUSTER
    assert parsed.seeds == (Address("a", 1), Address("b", 6379))
    assert parsed.access == Access("", "s", tls={})


def test_tls_is_for_sentinels_too() -> None:
    parsed = parse("rediss+sentinel://a/calls?ssl_ca_certs=/dev/null&ssl_check_hostname=no")
    assert parsed.access.tls == {"ssl_ca_certs": "/dev/null", "ssl_check_hostname": False}
    assert parsed.sentinel_access.tls == parsed.access.tls


@pytest.mark.parametrize(
    ("url", "fault"),
    [
        ("http://h", "expected redis://.* or rediss.cluster://, got 'http://'"),
        ("localhost:6379", "got 'no scheme'"),
        ("redis://h:p", "host names and port numbers"),
        ("redis://h:0", "host names and port numbers"),
        ("redis://h:65536", "host names and port numbers"),
        ("redis://[::1", "host names and port numbers"),
        ("redis://a,b", "several servers need"),
        ("redis://h/one", "a database number"),
        ("redis://h/-1", "a database number"),
        ("redis://h/0/1", "nothing behind the database"),
        ("unix://", "the path of a socket"),
        ("unix://run/r.sock", "the path of a socket"),
        ("redis+sentinel://a,b", "the service that the sentinels watch"),
        ("redis+sentinel://a,,b/calls", "host names and port numbers"),
        ("redis+sentinel://a/calls/x", "a database number"),
        ("redis+cluster://a,b/1", "no database but 0"),
        ("redis://h?protocol=3", "unknown option; after '.', this scheme knows db, "),
        ("redis://h?sentinel_password=s", "unknown option"),
        ("redis://h?ssl_ca_certs=x", "unknown option"),
        ("rediss://h?ssl_cert_reqs=maybe", "ssl_cert_reqs is one of"),
        ("rediss://h?ssl_ca_certs=/there/is/none", "ssl_ca_certs: there is no such file"),
        ("rediss://h?ssl_check_hostname=maybe", "ssl_check_hostname is yes or no"),
    ],
)
def test_a_fault_says_what_was_expected(url: str, fault: str) -> None:
    with pytest.raises(ValueError, match=fault):
        parse(url)


@pytest.mark.parametrize("scheme", ["redis", "redis+sentinel", "redis+cluster", "unix", "http"])
@pytest.mark.parametrize("password", ["zq/zq", "zq?zq", "zq#zq", "zq:zq", "zq[zq", "zq@zq", "zq"])
@pytest.mark.parametrize("rest", ["h:1,:x/s/t", "h", "h:x"])
def test_no_part_of_a_password_is_ever_shown(scheme: str, password: str, rest: str) -> None:
    url = f"{scheme}://user:{password}@{rest}"
    assert "zq" not in redacted(url)
    assert "zq" not in outcome(url)


def outcome(url: str) -> str:
    """What may get into a log."""
    try:
        return repr(parse(url))
    except ValueError as error:
        return str(error)


@pytest.mark.parametrize(
    ("url", "shown"),
    [
        ("redis://:secret@cache:6379/0", "redis://cache:6379/0"),
        ("rediss://user:s%40cret@cache/1?password=secret", "rediss://cache/1"),
        ("unix:///run/redis.sock?password=secret", "unix:///run/redis.sock"),
        ("redis://cache", "redis://cache"),
        ("redis+sentinel://u:secret@a:1,b:2/calls", "redis+sentinel://a:1,b:2/calls"),
        ("redis://:sec/ret@cache", "redis://..."),
        ("redis://:secret@[::1", "redis://..."),
    ],
)
def test_a_url_is_shown_without_its_password(url: str, shown: str) -> None:
    assert redacted(url) == shown


@pytest.mark.parametrize(
    ("address", "shown"),
    [
        (Address("h", 1), "h:1"),
        (Address("::1", 1), "[::1]:1"),
        (Address("/run/r.sock"), "/run/r.sock"),
    ],
)
def test_an_address_is_shown_as_it_is_written(address: Address, shown: str) -> None:
    assert str(address) == shown

"""What `REDIS_URL` says: where to ask first, how to enter a server, and how the servers stand to
each other.

    redis://[user:password@]host[:6379][/database]                          one server
    unix:///path/of/its/socket                                              one on this machine
    redis+sentinel://[user:password@]host[:26379],.../service[/database]    the primary of a service
    redis+cluster://[user:password@]host[:6379],...                         the shards of a cluster

`rediss` instead of `redis` means TLS, to sentinels as well. After `?` come options, see `_OPTIONS`.
Sentinels are entered without the password of the servers, with `sentinel_password` if they have
one.

Rule 1: a fault is one line that repeats nothing of the URL but its scheme, because any other part
        may belong to a password in which somebody forgot to encode a character.
"""

from __future__ import annotations

from collections.abc import Mapping
from enum import Enum
from pathlib import Path
from typing import NamedTuple
from urllib.parse import parse_qsl, unquote, urlsplit

__all__ = ["Access", "Address", "Kind", "RedisUrl", "parse", "redacted"]


class Kind(Enum):
    SINGLE = "single"
    SENTINEL = "sentinel"
    CLUSTER = "cluster"


class Address(NamedTuple):
    """Where a server listens; without a port, `host` is the path of its Unix socket."""

    host: str
    port: int = 0

    def __str__(self) -> str:
        host = f"[{self.host}]" if ":" in self.host else self.host
        return f"{host}:{self.port}" if self.port else host


class Access(NamedTuple):
    """How to enter a server. `tls` holds its options, None means that there is none."""

    username: str = ""
    password: str = ""
    database: int = 0
    client_name: str = ""
    tls: Mapping[str, str | bool] | None = None

    def __repr__(self) -> str:  # an Access may stand in a traceback, its password may not
        return f"Access(username={self.username!r}, database={self.database})"


class RedisUrl(NamedTuple):
    """`seeds` are the server itself, the sentinels, or some nodes of the cluster."""

    kind: Kind
    seeds: tuple[Address, ...]
    access: Access
    sentinel_access: Access
    service: str


_KINDS = {
    "redis": Kind.SINGLE,
    "rediss": Kind.SINGLE,
    "unix": Kind.SINGLE,
    "redis+sentinel": Kind.SENTINEL,
    "rediss+sentinel": Kind.SENTINEL,
    "redis+cluster": Kind.CLUSTER,
    "rediss+cluster": Kind.CLUSTER,
}
_TRUTHS = {"true": True, "yes": True, "1": True, "false": False, "no": False, "0": False}
_OPTIONS = ("db", "username", "password", "client_name")
_SENTINEL_OPTIONS = ("sentinel_username", "sentinel_password")
_TLS_OPTIONS = (
    "ssl_ca_certs",
    "ssl_ca_path",
    "ssl_certfile",
    "ssl_keyfile",
    "ssl_password",
    "ssl_cert_reqs",
    "ssl_check_hostname",
)
_FILES = ("ssl_ca_certs", "ssl_ca_path", "ssl_certfile", "ssl_keyfile")


def parse(url: str) -> RedisUrl:
    """Raises ValueError, whose text is for the user."""
    scheme, colon, _ = url.partition("://")
    kind = _KINDS.get(scheme.lower())
    if kind is None:
        *others, last = _KINDS
        expected = f"{'://, '.join(others)}:// or {last}://"
        got = f"{scheme}://" if colon else "no scheme"
        raise ValueError(f"expected {expected}, got {got!r}")
    try:
        parts = urlsplit(url)
        entrance, _, places = parts.netloc.rpartition("@")
        seeds = _seeds(places, 26379 if kind is Kind.SENTINEL else 6379)
    except ValueError:
        raise ValueError(
            "expected host names and port numbers; a password's special characters are written"
            " as %40 and the like"
        ) from None
    options = _options(parts.query, kind, is_tls=parts.scheme.startswith("rediss"))
    username, _, password = entrance.partition(":")
    options.setdefault("username", unquote(username))
    options.setdefault("password", unquote(password))
    if parts.scheme == "unix":
        if places or not parts.path.strip("/"):
            raise ValueError("expected the path of a socket, as in unix:///run/redis.sock")
        return _url(kind, (Address(unquote(parts.path)),), options, "", "")
    service, database = _path(parts.path, kind)
    if kind is Kind.SINGLE and len(seeds) > 1:
        raise ValueError("several servers need redis+sentinel:// or redis+cluster://")
    return _url(kind, seeds, options, service, database)


def redacted(url: str) -> str:
    """The URL as it may be shown: no password, no query (which may hold one)."""
    try:
        parts = urlsplit(url)
    except ValueError:
        return f"{url.partition('://')[0]}://..."
    if "@" in f"{parts.path}{parts.query}{parts.fragment}":  # who knows where the password ends
        return f"{parts.scheme}://..."
    return f"{parts.scheme}://{parts.netloc.rpartition('@')[2]}{parts.path}"


def _seeds(places: str, port: int) -> tuple[Address, ...]:
    found = []
    for place in places.split(","):
        parts = urlsplit(f"//{place}")
        if parts.port == 0 or (not parts.hostname and "," in places):
            raise ValueError(place)
        found.append(Address(unquote(parts.hostname or "localhost"), parts.port or port))
    return tuple(dict.fromkeys(found))


def _options(query: str, kind: Kind, *, is_tls: bool) -> dict[str, str]:
    known = [*_OPTIONS]
    known += _SENTINEL_OPTIONS if kind is Kind.SENTINEL else ()
    known += _TLS_OPTIONS if is_tls else ()
    options = dict(parse_qsl(query))
    if not set(options) <= set(known):
        raise ValueError(f"unknown option; after '?', this scheme knows {', '.join(known)}")
    if options.get("ssl_cert_reqs", "none") not in ("none", "optional", "required"):
        raise ValueError("ssl_cert_reqs is one of none, optional, required")
    if options.get("ssl_check_hostname", "no").lower() not in _TRUTHS:
        raise ValueError("ssl_check_hostname is yes or no")
    for name in _FILES:
        if name in options and not Path(options[name]).exists():
            raise ValueError(f"{name}: there is no such file")
    if is_tls:
        options["tls"] = "yes"
    return options


def _path(path: str, kind: Kind) -> tuple[str, str]:
    """The service and the database."""
    parts = [unquote(part) for part in path.strip("/").split("/")]
    if kind is not Kind.SENTINEL:
        parts.insert(0, "")
    elif not parts[0]:
        raise ValueError("expected the service that the sentinels watch: host:port,.../service")
    if len(parts) > 2:
        raise ValueError("expected nothing behind the database")
    return parts[0], parts[1] if len(parts) == 2 else ""


def _url(
    kind: Kind, seeds: tuple[Address, ...], options: dict[str, str], service: str, path: str
) -> RedisUrl:
    database = options.get("db") or path or "0"
    if not (database.isascii() and database.isdigit()):
        raise ValueError("expected a database number")
    if kind is Kind.CLUSTER and int(database):
        raise ValueError("a cluster has no database but 0")
    tls = _tls(options) if "tls" in options else None
    access = Access(
        options["username"],
        options["password"],
        int(database),
        options.get("client_name", ""),
        tls,
    )
    sentinel_access = Access(
        options.get("sentinel_username", ""),
        options.get("sentinel_password", ""),
        tls=tls,
    )
    return RedisUrl(kind, seeds, access, sentinel_access, service)


def _tls(options: Mapping[str, str]) -> Mapping[str, str | bool]:
    chosen: dict[str, str | bool] = {
        name: options[name] for name in _TLS_OPTIONS if name in options
    }
    if "ssl_check_hostname" in options:
        chosen["ssl_check_hostname"] = _TRUTHS[options["ssl_check_hostname"].lower()]
    return chosen

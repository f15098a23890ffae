"""Redis as production runs it, on loopback: sentinels around a primary and its replicas, and a
cluster; all real processes, which a test may kill, pause and bring back.

    with sentinel() as trio:
        link = Link(trio.url, timeout_s=0.5)
        trio.primary().kill()

    with cluster() as shards:
        shards.move_slot(slot_of(lane), to=shards.nodes[1])

Rule 1: needs nothing but a redis-server of 6.2 or newer, not even redis-cli.
Rule 2: returns when everybody knows everybody, so that a fault may follow at once.
"""

from __future__ import annotations

import contextlib
import functools
import os
import signal
import subprocess
import time
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any, TypeVar

import pytest
import redis
from redis.backoff import NoBackoff
from redis.retry import Retry

from common.errors import UsageError
from ops import redis_server
from ops.logs import last_line
from tests.ports import HOST, free_port

__all__ = ["SERVICE", "Cluster", "Node", "Sentinel", "cluster", "sentinel"]

SERVICE = "trunkline"

_START_S = 60.0
_QUICK = {
    "save": "",
    "appendonly": "no",
    "maxmemory-policy": "noeviction",
    "repl-diskless-sync": "yes",
    "repl-diskless-sync-delay": "0",
    "repl-ping-replica-period": "1",
}

Settings = Mapping[str, str]
T = TypeVar("T")


class Node:
    """A redis-server on a port of its own, which it keeps for life."""

    def __init__(self, directory: Path, settings: Settings, *, is_sentinel: bool = False) -> None:
        self.port = free_port()
        self.url = f"redis://{HOST}:{self.port}"
        self.client: Any = redis.Redis(
            HOST,
            self.port,
            decode_responses=True,
            socket_timeout=10.0,
            retry=Retry(NoBackoff(), 0),
        )
        directory = directory / str(self.port)
        directory.mkdir()
        self._log = directory / "redis.log"
        own = {"port": str(self.port), "bind": HOST, "dir": str(directory)}
        lines = [f'{name} "{value}"' for name, value in {**own, **settings}.items()]
        self._config = directory / "redis.conf"  # sentinels write into theirs
        self._config.write_text("\n".join([*lines, ""]))
        self._mode = ["--sentinel"] if is_sentinel else []
        self.start()

    def start(self) -> None:
        """Also after `kill`: without its data, unless the settings keep them."""
        with self._log.open("ab") as log:
            self._process = subprocess.Popen(
                [binary().path, self._config, *self._mode],
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=subprocess.STDOUT,
                start_new_session=True,
            )
        wait_until(self.answers)

    def answers(self) -> bool:
        assert self._process.poll() is None, last_line(self._log)
        try:
            return bool(self.client.ping())
        except redis.ConnectionError:  # LOADING is one as well
            return False

    def kill(self) -> None:
        """SIGKILL: nothing is written, nobody is told."""
        self._process.kill()
        self._process.wait()

    def pause(self) -> None:
        """SIGSTOP: the port still accepts, and nothing answers."""
        self._process.send_signal(signal.SIGSTOP)

    def resume(self) -> None:
        self._process.send_signal(signal.SIGCONT)

    def info(self, section: str) -> dict[str, Any]:
        found: dict[str, Any] = self.client.info(section)
        return found

    def close(self) -> None:
        self.client.close()
        self.kill()


class Sentinel:
    """`nodes[0]` is the primary to begin with."""

    def __init__(self, nodes: list[Node], sentinels: list[Node]) -> None:
        self.nodes = nodes
        self.sentinels = sentinels
        places = ",".join(f"{HOST}:{sentinel.port}" for sentinel in sentinels)
        self.url = f"redis+sentinel://{places}/{SERVICE}"

    def primary(self) -> Node:
        """The one that the sentinels name now."""
        _, port = self.sentinels[0].client.execute_command(
            "SENTINEL GET-MASTER-ADDR-BY-NAME", SERVICE
        )
        return next(node for node in self.nodes if node.port == int(port))

    def wait_until_whole(self) -> None:
        """Every sentinel knows every other and all replicas, and every replica follows."""
        primary = self.primary()
        wait_until(lambda: _online_replicas(primary) == len(self.nodes) - 1)
        wait_until(lambda: all(self._is_informed(sentinel) for sentinel in self.sentinels))

    def _is_informed(self, sentinel: Node) -> bool:
        facts = sentinel.client.execute_command("SENTINEL MASTER", SERVICE)
        known = (facts["num-slaves"], facts["num-other-sentinels"], facts["flags"])
        return bool(known == (len(self.nodes) - 1, len(self.sentinels) - 1, "master"))


class Cluster:
    """The first `primaries` of `nodes` share the slots evenly, in order."""

    def __init__(self, nodes: list[Node], primaries: int) -> None:
        self.nodes = nodes
        self.primaries = nodes[:primaries]
        self.url = "redis+cluster://" + ",".join(f"{HOST}:{node.port}" for node in nodes)

    def owner(self, slot: int) -> Node:
        """Which node serves the slot now, as the nodes see it; waits until they agree."""
        return wait_until(lambda: self._agreed_owner(slot))

    def move_slot(self, slot: int, *, to: Node) -> None:
        """As redis-cli would reshard: with all keys, while clients go on."""
        self.begin_move(slot, to=to)
        self.finish_move(slot, to=to)

    def begin_move(self, slot: int, *, to: Node) -> None:
        """From now on the owner answers ASK for keys that it does not have."""
        owner = self.owner(slot)
        to.client.execute_command("CLUSTER SETSLOT", slot, "IMPORTING", _id_of(owner))
        owner.client.execute_command("CLUSTER SETSLOT", slot, "MIGRATING", _id_of(to))

    def finish_move(self, slot: int, *, to: Node) -> None:
        """From now on the former owner answers MOVED; the others hear of it later."""
        owner = self.owner(slot)
        while keys := owner.client.execute_command("CLUSTER GETKEYSINSLOT", slot, 100):
            owner.client.execute_command("MIGRATE", HOST, to.port, "", 0, 5000, "KEYS", *keys)
        for node in (to, owner):
            node.client.execute_command("CLUSTER SETSLOT", slot, "NODE", _id_of(to))

    def _agreed_owner(self, slot: int) -> Node | None:
        owners = {_port_of_slot(node, slot) for node in self.primaries if node.answers()}
        port = owners.pop() if len(owners) == 1 else None
        return next((node for node in self.nodes if node.port == port), None)


@contextlib.contextmanager
def sentinel(
    *,
    nodes: int = 3,
    sentinels: int = 3,
    down_after_ms: int = 1000,
    settings: Settings | None = None,
) -> Iterator[Sentinel]:
    """`settings` are for the data nodes, over what RELIABILITY asks of them."""
    safe = {"min-replicas-to-write": "1", "min-replicas-max-lag": "2"} if nodes > 2 else {}
    of_nodes = {**_QUICK, **safe, **(settings or {})}
    with _nodes() as start:
        primary = start(of_nodes)
        of_replicas = {**of_nodes, f"replicaof {HOST}": str(primary.port)}
        data = [primary, *(start(of_replicas) for _ in range(nodes - 1))]
        # Sentinels look for replicas every 10 s only: they must be there by then.
        wait_until(lambda: _online_replicas(primary) == nodes - 1)
        watch = {
            f"sentinel monitor {SERVICE} {HOST} {primary.port}": str(sentinels // 2 + 1),
            f"sentinel down-after-milliseconds {SERVICE}": str(down_after_ms),
            f"sentinel failover-timeout {SERVICE}": "3000",
        }
        watchers = [start(watch, is_sentinel=True) for _ in range(sentinels)]
        trio = Sentinel(data, watchers)
        trio.wait_until_whole()
        yield trio


@contextlib.contextmanager
def cluster(
    *, primaries: int = 3, replicas: int = 0, settings: Settings | None = None
) -> Iterator[Cluster]:
    """`replicas` is how many each primary has."""
    own = {"cluster-enabled": "yes", "cluster-node-timeout": "5000", **(settings or {})}
    with _nodes() as start:
        nodes = [start({**_QUICK, **own}) for _ in range(primaries * (1 + replicas))]
        for number, node in enumerate(nodes):
            node.client.execute_command("CLUSTER SET-CONFIG-EPOCH", number + 1)
            nodes[0].client.execute_command("CLUSTER MEET", HOST, node.port)
        share = -(-_SLOTS // primaries)
        for number, node in enumerate(nodes[:primaries]):
            slots = range(number * share, min((number + 1) * share, _SLOTS))
            node.client.execute_command("CLUSTER ADDSLOTS", *slots)
        wait_until(lambda: all(_known_nodes(node) == len(nodes) for node in nodes))
        for number, node in enumerate(nodes[primaries:]):
            node.client.execute_command("CLUSTER REPLICATE", _id_of(nodes[number % primaries]))
        shards = Cluster(nodes, primaries)
        wait_until(lambda: all(_state(node) == "ok" for node in nodes))
        wait_until(lambda: all(_online_replicas(node) == replicas for node in shards.primaries))
        yield shards


_SLOTS = 16384


@functools.cache
def binary() -> redis_server.RedisBinary:
    """The one that the other tests use, where they use a binary."""
    finders = {"path": redis_server.find_on_path, "bundled": redis_server.find_bundled}
    wanted = os.environ.get("TRUNKLINE_TEST_REDIS", "").strip()
    try:
        return finders.get(wanted, redis_server.find_binary)()
    except UsageError as error:
        pytest.skip(str(error))


def wait_until(look: Callable[[], T | None]) -> T:
    """What `look` saw once it saw something true; AssertionError when it never did."""
    deadline = time.monotonic() + _START_S
    while not (seen := look()):
        assert time.monotonic() < deadline, f"not within {_START_S:g} s"
        time.sleep(0.01)
    return seen


@contextlib.contextmanager
def _nodes() -> Iterator[Callable[..., Node]]:
    """How to start a node; all are ended."""
    with redis_server.fresh_directory() as directory, contextlib.ExitStack() as stack:

        def start(settings: Settings, *, is_sentinel: bool = False) -> Node:
            node = Node(directory, settings, is_sentinel=is_sentinel)
            stack.callback(node.close)
            return node

        yield start


def _online_replicas(node: Node) -> int:
    facts = node.info("replication")
    return sum(
        isinstance(facts.get(f"slave{number}"), dict)
        and facts[f"slave{number}"]["state"] == "online"
        for number in range(int(facts["connected_slaves"]))
    )


def _id_of(node: Node) -> str:
    return str(node.client.execute_command("CLUSTER MYID"))


def _state(node: Node) -> str:
    return str(_cluster_facts(node)["cluster_state"])


def _known_nodes(node: Node) -> int:
    return int(_cluster_facts(node)["cluster_known_nodes"])


def _cluster_facts(node: Node) -> dict[str, str]:
    found: dict[str, str] = node.client.execute_command("CLUSTER INFO")
    return found


def _port_of_slot(node: Node, slot: int) -> int | None:
    ranges = node.client.execute_command("CLUSTER SLOTS")
    found = [entry for entry in ranges if entry[0] <= slot <= entry[1]]
    return found[0][2][1] if found else None

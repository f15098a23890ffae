"""One run: a Redis of its own, edges, workers and callers; the fault comes from outside.

    with Stage(config, Needs(workers=3, lead_ms=1500)) as stage:
        stage.talk()
        ...                       # the fault
        stage.finish(row)

Rule 1: waiting is for a condition, with a deadline. Only a fault's own length is slept.
Rule 2: what was started is ended by its process id, whatever happened in between.
"""

from __future__ import annotations

import contextlib
import io
import tempfile
import time
from pathlib import Path
from types import TracebackType

import msgspec
import redis

from ops.phone.dialect import Dialect
from ops.phone.dialects import known_dialects
from ops.redis_server import fresh_directory
from tests.chaos_proxy import ChaosProxy
from tests.system.chaos.callers import Spec
from tests.system.chaos.check import Tally, check, read_reports
from tests.system.chaos.config import APART, Config, Needs
from tests.system.chaos.counters import Counters
from tests.system.chaos.groups import Groups
from tests.system.chaos.ledger import Kind
from tests.system.chaos.own_redis import OwnRedis
from tests.system.chaos.probes import keys_left, ledger_faults
from tests.system.chaos.proxies import Proxies
from tests.system.chaos.row import Row
from tests.system.chaos.score import Rules
from tests.system.chaos.strain import Strain
from tests.system.chaos.watch import Watch
from tests.system.processes import ROOT, Process, System, wait_until

__all__ = ["Stage"]

_AGENT = "tests.system.chaos.chain_agent:ChainAgent"
_START_S = 60.0
_FINISH_S = 60.0
_FRAME_MS = 20


class Stage:
    def __init__(self, config: Config, needs: Needs) -> None:
        self.config = config
        self.needs = needs
        self.counters = Counters()
        self._steady_since_ns = 0
        self.proxy_of: dict[str, ChaosProxy] = {}
        self._stack = contextlib.ExitStack()

    def __enter__(self) -> Stage:
        with contextlib.ExitStack() as stack:
            self._start(stack)
            self._stack = stack.pop_all()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self._stack.close()

    def _start(self, stack: contextlib.ExitStack) -> None:
        self.directory = Path(tempfile.mkdtemp(dir=self.config.directory))
        (self.directory / "reports").mkdir()
        if self.needs.sentinel is None:
            self.redis = OwnRedis(stack.enter_context(fresh_directory()), self.needs.redis)
            stack.callback(self.redis.close)
        url = self.url()
        self.proxies = Proxies(url)
        stack.callback(self.proxies.close)
        self.system = System(url, self.directory)
        stack.callback(_quietly, self.system)
        self.groups = Groups(self.directory)
        stack.callback(self.groups.end)
        for _ in range(self.needs.edges):
            self.start_edge()
        for _ in range(self.needs.workers):
            self.start_worker()
        self._wait_until_up()
        self.watch = Watch(self.url, [f"{{{self.system.namespace}:0}}"])
        stack.callback(self.watch.close)
        self.strain = Strain(self.pids)
        stack.callback(self.strain.close)

    def url(self) -> str:
        """Where Redis is now."""
        if self.needs.sentinel is not None:
            return f"{self.needs.sentinel.primary().url}/0"
        port = self.needs.redis_port
        return f"redis://127.0.0.1:{port}/0" if port else self.redis.url

    def connect(self) -> redis.Redis:
        return redis.Redis.from_url(self.url())

    # Processes.

    def start_edge(self, **settings: str) -> Process:
        way = {"PYTHONPATH": str(ROOT), **self._way_to_redis("edge")}
        own = {**dict(self.needs.edge), **settings, **way}
        edge = self.system.start_edge(**own)
        return self._remember_proxy(edge)

    def restarted_edge(self, number: int) -> Process:
        """In the place of the one that has ended; returns when it takes calls."""
        own = {"PYTHONPATH": str(ROOT), **self._way_to_redis("edge"), **dict(self.needs.edge)}
        edge = self.system.restart_edge(number, **own)
        edge.wait_until_up("/readyz")
        return self._remember_proxy(edge)

    def start_worker(self) -> Process:
        settings = {
            "TRUNKLINE_AGENT": _AGENT,
            "PYTHONPATH": str(ROOT),
            "CHAOS_LEAD_MS": str(self.needs.lead_ms),
            "CHAOS_CLEAR_EVERY": str(self.needs.clear_every),
            "CHAOS_REPORTS": str(self.directory / "reports"),
            **dict(self.needs.worker),
            **self._way_to_redis("worker"),
        }
        return self._remember_proxy(self.system.start_worker(**settings))

    def started_worker(self) -> Process:
        """Returns when it takes calls."""
        worker = self.start_worker()
        worker.wait_until_up("/metrics")
        worker.worker_id()
        return worker

    def live_workers(self) -> list[Process]:
        return [worker for worker in self.system.workers if worker.is_running]

    def busiest_worker(self) -> Process:
        """The live one that owns most calls."""
        return max(self.live_workers(), key=lambda each: len(self.watch.owned_by(each.worker_id())))

    def pids(self) -> list[int]:
        """All that frames pass through, but for sentinels' Redis."""
        processes = [*self.system.edges, *self.live_workers()]
        own = [self.redis.pid] if self.needs.sentinel is None else []
        return [*(process.pid for process in processes), *self.groups.pids(), *own]

    def sample(self) -> None:
        self.counters.sample(*self.system.workers, *self.system.edges)

    # Callers.

    def talk(self, calls: int = 0, *, frames: int = 50, **spec: object) -> None:
        """Place the calls; returns when each has an owner and has heard so many frames."""
        calls = calls or self.config.calls
        self.place(calls, **spec)
        wait_until(
            lambda: sum(owner != "" for owner in self.watch.owners().values()) >= calls,
            within_s=_START_S,
        )
        self.wait_until_heard(frames, calls=calls)
        self._steady_since_ns = time.monotonic_ns()
        self.strain.begin()

    def place(self, calls: int, **spec: object) -> None:
        hosts = [f"127.0.0.1:{port}" for port in self.system.ports]
        rules = self._rules()
        known: dict[str, object] = {
            "ledger": str(self.groups.ledger),
            "hosts": hosts,
            "calls": calls,
            "providers": [dialect.name for dialect in self._dialects()],
            "redials": self.needs.redials,
            "lead_frames": rules.lead_frames,
            "clear_every": rules.clear_every,
        }
        wanted = msgspec.convert({**known, **spec}, Spec)
        self.groups.place(wanted)

    def wait_until_heard(self, frames: int, *, calls: int, within_s: float = _START_S) -> None:
        """So many frames more, on so many calls."""
        self.groups.wait_until_heard(frames, calls=calls, within_s=within_s)

    def ended_apart(self) -> int:
        """How many of the callers that are the fault themselves have been closed."""
        records = self.groups.records()
        closed = records["caller"][records["kind"] == Kind.CLOSED]
        return int((closed >= APART).sum())

    def last(self, seconds: float) -> None:
        """Not a wait for anything: how long a fault lasts."""
        time.sleep(seconds)

    # The end.

    def finish(self, row: Row, *, keys_within_s: float = 30.0, cut: bool = False) -> Tally:
        """All hang up; fills the row with what the checker found. `cut`: calls may have ended
        before, because the fault ends them."""
        self.groups.tell("hang_up")
        self.wait_for_callers(row)
        self.wait_until_clean(row, within_s=keys_within_s)
        self.sample()
        tally = check(
            self.groups.records(),
            read_reports(self.directory / "reports"),
            self._dialects(),
            self._rules(),
            since_ns=self._steady_since_ns,
        )
        counted = tally._replace(calls=[call for call in tally.calls if call.caller < APART])
        self._fill(row, counted)
        if not cut:
            ended = [call.caller for call in counted.calls if not call.stopped]
            row.expect(not ended, f"{len(ended)} calls ended before their callers hung up")
        return tally

    def wait_until_clean(self, row: Row, *, within_s: float) -> None:
        """No key is left beside those of the lanes."""
        namespace = self.system.namespace
        with contextlib.suppress(AssertionError):
            wait_until(
                lambda: (
                    not keys_left(self.system.redis, namespace) and not ledger_faults(self.system)
                ),
                within_s=within_s,
            )
        left = keys_left(self.system.redis, namespace)
        row.keys_left += len(left)
        row.expect(not left, f"keys left: {', '.join(left[:3])}")
        row.failures += ledger_faults(self.system)

    def _fill(self, row: Row, tally: Tally) -> None:
        row.calls = max(row.calls, len(tally.calls))
        row.lost += tally.total("lost")
        row.repeated += tally.total("repeated")
        row.disordered += tally.total("disordered")
        row.gap_ms = max(row.gap_ms or 0.0, tally.gap_ms)
        row.late_ms = max(row.late_ms, tally.late_ms + self.strain.worst_ms)
        row.takeovers += self.watch.takeovers()
        row.fenced += self.counters.total("fenced")
        row.already += self.counters.total("already")
        problems = tally.problems()
        row.failures += problems[:5]
        row.expect(len(problems) <= 5, f"and {len(problems) - 5} more like these")
        row.expect(not self.counters.total("conflict"), "commits were answered CONFLICT")
        for process in (*self.system.edges, *self.system.workers):
            row.expect("Traceback" not in process.log, f"{process.name} logged a traceback")
        row.expect(not tally.refused or self.needs.redials, f"{tally.refused} calls refused")
        if row.failures:
            row.notes.append(f"logs and ledger: {self.directory}")

    def _dialects(self) -> list[Dialect]:
        """Caller n speaks the n-th, round and round."""
        known = known_dialects()
        return [known[name] for name in self.needs.providers or known]

    def _rules(self) -> Rules:
        return Rules(self.needs.lead_ms // _FRAME_MS, self.needs.clear_every)

    def _way_to_redis(self, kind: str) -> dict[str, str]:
        self._new_proxy = self.proxies.open() if self.needs.proxied == kind else None
        if self._new_proxy is not None:
            return {"REDIS_URL": self._new_proxy.url}
        return {} if self.needs.sentinel is None else {"REDIS_URL": self.needs.sentinel.url}

    def _remember_proxy(self, process: Process) -> Process:
        if self._new_proxy is not None:
            self.proxy_of[process.name] = self._new_proxy
        return process

    def _wait_until_up(self) -> None:
        for worker in self.system.workers:
            worker.wait_until_up("/metrics")
        for edge in self.system.edges:
            edge.wait_until_up("/readyz")
        self.system.wait_until_taking(self.needs.workers)

    def wait_for_callers(self, row: Row, *, within_s: float = _FINISH_S) -> None:
        row.failures += self.groups.wait(within_s=within_s)


def _quietly(system: System) -> None:
    """The logs are kept as files; nobody wants to read all of them."""
    with contextlib.redirect_stdout(io.StringIO()):
        system.close()

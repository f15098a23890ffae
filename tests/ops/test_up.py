from __future__ import annotations

import asyncio
import os
import shutil
import signal
import socket
import sys
from functools import partial
from pathlib import Path

import pytest
from aiohttp import ClientSession, WSCloseCode

from tests.ops.trunkline_up import is_ready, started, wait_until
from tests.ports import free_port, free_ports

pytestmark = pytest.mark.skipif(sys.platform != "linux", reason="reads /proc")

#: Far less than a drain may take.
AT_ONCE_S = 25

_SOUND_AGENT = "from workers import Agent\nclass Mine(Agent): ...\n"

# Sound in `trunkline up`, which looks at it beforehand, and broken where it counts; after a while,
# as on a busy machine.
_BROKEN_AGENT = """
import os
import time
from workers import Agent
if "TRUNKLINE_INDEX" in os.environ:
    time.sleep(1.5)
    raise SystemExit("no model on this machine")
class Broken(Agent): ...
"""

_SLOW_AGENT = """
import time
from pathlib import Path
from workers import Agent
class Slow(Agent):
    @classmethod
    def prepare(cls):
        while not Path("model").exists():
            time.sleep(0.02)
"""

_TWILIO_START = {
    "event": "start",
    "sequenceNumber": "1",
    "streamSid": "MZ1",
    "start": {
        "accountSid": "AC1",
        "streamSid": "MZ1",
        "callSid": "CA1",
        "tracks": ["inbound"],
        "mediaFormat": {"encoding": "audio/x-mulaw", "sampleRate": 8000, "channels": 1},
        "customParameters": {},
    },
}


def test_from_the_banner_to_ctrl_c(tmp_path: Path) -> None:
    port = free_ports(2)
    arguments = ("--edges", "2", "--workers", "2", "--port", str(port))
    with started(tmp_path, *arguments, in_terminal=True) as up:
        up.wait_until_ready()
        for each in (port, port + 1):
            assert is_ready(each)
            assert f"ws://127.0.0.1:{each}/media/{{provider}}" in up.output
        assert "2 edges, 2 workers, agent echo" in up.output
        assert len(up.children("-m edge")) == 2
        assert len(up.children("-m workers")) == 2
        directory = up.directory
        assert str(directory) in up.output

        up.press_ctrl_c()

        assert up.exit_code(within_s=AT_ONCE_S) == 0
        assert "Traceback" not in up.output
        assert "root" not in up.output
        assert not directory.exists()


async def test_ctrl_c_ends_a_call_that_goes_on_and_on(tmp_path: Path) -> None:
    port = free_port()
    with started(tmp_path, "--port", str(port), in_terminal=True) as up:
        up.wait_until_ready()
        url = f"ws://127.0.0.1:{port}/media/twilio"
        async with ClientSession() as client, client.ws_connect(url) as provider:
            await provider.send_json({"event": "connected", "protocol": "Call", "version": "1.0.0"})
            await provider.send_json(_TWILIO_START)
            up.press_ctrl_c()
            ended = asyncio.create_task(asyncio.to_thread(up.exit_code, within_s=AT_ONCE_S))
            async for _ in provider:
                pass
            assert provider.close_code == WSCloseCode.SERVICE_RESTART
            assert await ended == 0


def test_sigterm_ends_it_as_ctrl_c_does(tmp_path: Path) -> None:
    with started(tmp_path, "--port", str(free_port())) as up:
        up.wait_until_ready()
        up.send(signal.SIGTERM)
        assert up.exit_code(within_s=AT_ONCE_S) == 0


def test_a_killed_process_is_started_again(tmp_path: Path) -> None:
    port = free_port()
    with started(tmp_path, "--port", str(port)) as up:
        up.wait_until_ready()
        for word in ("redis-server", "-m workers", "-m edge"):
            killed = up.child(word)
            os.kill(killed, signal.SIGKILL)
            wait_until(partial(up.has_replaced, killed, word))
        wait_until(lambda: is_ready(port))
        for name, word in (("redis", "redis-server"), ("worker:0", "-m workers")):
            said = f"\n{name} ended; started again as process {up.child(word)}\n"
            wait_until(partial(up.has_said, said))


def test_a_second_ctrl_c_does_not_wait_for_a_process_that_hangs(tmp_path: Path) -> None:
    environ = {"TRUNKLINE_DRAIN_TIMEOUT_S": "60"}
    with started(tmp_path, "--port", str(free_port()), in_terminal=True, environ=environ) as up:
        up.wait_until_ready()
        os.kill(up.child("-m edge"), signal.SIGSTOP)
        up.press_ctrl_c()
        wait_until(lambda: "Draining" in up.output)
        up.press_ctrl_c()
        assert up.exit_code(within_s=AT_ONCE_S) == 130
        assert "Traceback" not in up.output


def test_nothing_survives_a_killed_up(tmp_path: Path) -> None:
    with started(tmp_path, "--port", str(free_port())) as up:
        up.wait_until_ready()
        directory = up.directory
        up.send(signal.SIGKILL)
        assert up.exit_code(within_s=AT_ONCE_S) == -signal.SIGKILL
        shutil.rmtree(directory)  # there was nobody left to do it


def test_nothing_survives_a_killed_supervisor(tmp_path: Path) -> None:
    with started(tmp_path, "--port", str(free_port())) as up:
        up.wait_until_ready()
        os.kill(up.child("supervisord"), signal.SIGKILL)
        assert up.exit_code(within_s=AT_ONCE_S) == 1
        assert "trunkline up: supervisor ended unexpectedly" in up.output


def test_an_agent_is_found_on_the_working_directory_and_nothing_else_is(tmp_path: Path) -> None:
    for name in ("common", "edge", "ops", "supervisor", "workers"):
        (tmp_path / f"{name}.py").write_text("raise SystemExit('this is not Trunkline')")
    (tmp_path / "my_agents.py").write_text(_SOUND_AGENT)
    arguments = ("--port", str(free_port()), "--agent", "my_agents:Mine")
    with started(tmp_path, *arguments) as up:
        up.wait_until_ready()
        assert "agent my_agents:Mine" in up.output


def test_a_process_that_does_not_start_ends_the_rest_with_its_reason(tmp_path: Path) -> None:
    (tmp_path / "my_agents.py").write_text(_BROKEN_AGENT)
    arguments = ("--port", str(free_port()), "--agent", "my_agents:Broken")
    with started(tmp_path, *arguments) as up:
        wait_until(lambda: up.children("-m edge"))
        assert up.exit_code(within_s=AT_ONCE_S) == 1
        reason, _, last = up.output.strip().rpartition("\n")
        assert "no model on this machine" in reason
        assert last == "trunkline up: worker:0 does not start: its reason is above"
        assert reason.count("no model on this machine") == 1
        assert "is up" not in reason


def test_an_agent_may_prepare_for_as_long_as_it_likes(tmp_path: Path) -> None:
    (tmp_path / "my_agents.py").write_text(_SLOW_AGENT)
    arguments = ("--port", str(free_port()), "--agent", "my_agents:Slow")
    with started(tmp_path, *arguments) as up:
        wait_until(lambda: "worker:0: not ready yet; waiting\n" in up.output)
        assert "is up" not in up.output
        (tmp_path / "model").touch()
        up.wait_until_ready()
        assert up.output.count("not ready yet") == 1


def test_an_agent_that_breaks_while_it_runs_is_tried_until_it_is_mended(tmp_path: Path) -> None:
    agent = tmp_path / "my_agents.py"
    agent.write_text(_SOUND_AGENT)
    arguments = ("--port", str(free_port()), "--agent", "my_agents:Mine")
    with started(tmp_path, *arguments) as up:
        up.wait_until_ready()
        agent.write_text("class Mine(:")
        os.kill(up.child("-m workers"), signal.SIGKILL)
        wait_until(lambda: up.output.count("SyntaxError") == 2)
        agent.write_text(_SOUND_AGENT)
        wait_until(lambda: up.output.count("taking calls") == 2)


@pytest.mark.parametrize(
    ("arguments", "environ", "code", "message"),
    [
        ((), {"TRUNKLINE_LANES": "0"}, 2, "1 setting is wrong:\n  TRUNKLINE_LANES: "),
        (("--port", "http"), {}, 2, "1 setting is wrong:\n  TRUNKLINE_PORT: "),
        (("--agent", "nobody"), {}, 1, "unknown agent 'nobody'"),
        ((), {"REDIS_URL": "redis://:secret@127.0.0.1:1/0"}, 1, "cannot use the Redis at redis"),
    ],
)
def test_what_is_wrong_is_said_once_before_anything_starts(
    tmp_path: Path, arguments: tuple[str, ...], environ: dict[str, str], code: int, message: str
) -> None:
    with started(tmp_path, *arguments, environ=environ) as up:
        assert up.exit_code(within_s=AT_ONCE_S) == code
        assert up.output.startswith(f"trunkline up: {message}")
        assert up.output.count("trunkline up: ") == 1
        assert "secret" not in up.output


def test_a_port_in_use_is_said_before_anything_starts(tmp_path: Path) -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        with started(tmp_path, "--port", str(port)) as up:
            assert up.exit_code(within_s=AT_ONCE_S) == 1
            expected = f"trunkline up: port {port} is in use; choose another with --port\n"
            assert up.output == expected

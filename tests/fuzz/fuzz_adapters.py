"""Coverage-guided fuzzing of one provider's adapter: `python tests/fuzz/fuzz_adapters.py NAME [S]`.

The seeds are the messages of its conversations. An input is a first byte, whose lowest bits say
how it is to be read, and messages, one a line:

    bit 0    the messages are binary, not text
    bit 1    they come in at `/`, where the provider is detected
    bit 2    the call has started already

Property: whatever comes, `receive` returns receipts and raises nothing, and the stream made of the
adapter tells its start first and its end last. Exit code 0 means that nothing was found.
"""

from __future__ import annotations

import re
import subprocess
import sys
import tempfile
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[2]))

try:
    import atheris
except ImportError:
    sys.exit("fuzzing needs atheris: pip install 'trunkline[fuzz]'")

with atheris.instrument_imports(include=["edge", "common"]):
    from edge.adapter import Message
    from edge.entrances import DETECT, Entrance, entrances
    from edge.providers import providers
    from tests.contract.whatever_comes import check

    providers()  # imports them, which nobody else does by name
from tests.contract.conversation import conversations
from tests.contract.samples import PROVIDERS, sample

BINARY, DETECTED, STARTED = 1, 2, 4

_DEFAULT_S = 60
_MAX_BYTES = 4096


class Target:
    def __init__(self, provider: str) -> None:
        told = sample(provider)
        self._opening = told.opening
        self._entrances: dict[str, Entrance] = entrances(told.settings)
        self._provider = provider

    def __call__(self, data: bytes) -> None:
        flags = data[0] if data else 0
        messages: list[Message] = list(data[1:].split(b"\n"))
        if not flags & BINARY:
            # Half surrogate pairs are text to Python, so they may not break anything either.
            messages = [m.decode("utf-8", "surrogateescape") for m in data[1:].split(b"\n")]
        if flags & STARTED:
            messages = [*self._opening, *messages]
        name = DETECT if flags & DETECTED else self._provider
        check(self._entrances[name].open_adapter(), messages)


def write_seeds(provider: str, folder: Path) -> None:
    """Each conversation as a whole, and each of its messages alone, amid a call."""
    for conversation in conversations():
        if conversation.provider != provider:
            continue
        texts = [
            m.encode(errors="surrogateescape") for m in conversation.messages if isinstance(m, str)
        ]
        audio = [message for message in conversation.messages if isinstance(message, bytes)]
        inputs = [bytes([0]) + b"\n".join(texts), bytes([DETECTED]) + b"\n".join(texts)]
        inputs += [bytes([STARTED]) + text for text in texts]
        inputs += [bytes([STARTED | BINARY]) + message for message in audio]
        for number, seed in enumerate(inputs):
            (folder / f"{conversation.case}-{number}").write_bytes(seed)


def write_dictionary(provider: str, path: Path) -> None:
    """The words of the provider's messages."""
    texts = "".join(str(m) for c in conversations() if c.provider == provider for m in c.messages)
    words = sorted(set(re.findall(r'"[A-Za-z_-]{2,30}"', texts)))
    path.write_text("".join(f'"\\"{word[1:-1]}\\""\n' for word in words))


def fuzz(provider: str, seconds: int, folder: Path) -> None:
    """Does not return: libFuzzer ends the process, without unwinding."""
    corpus = folder / "corpus"
    corpus.mkdir()
    write_seeds(provider, corpus)
    write_dictionary(provider, folder / "words")
    options = {
        "max_total_time": seconds,
        "max_len": _MAX_BYTES,
        "dict": folder / "words",
        "artifact_prefix": f"{tempfile.gettempdir()}/trunkline-fuzz-{provider}-",
        "print_final_stats": 1,
        "verbosity": 0,
    }
    flags = [f"-{name}={value}" for name, value in options.items()]
    atheris.Setup([provider, *flags, str(corpus)], Target(provider))
    atheris.Fuzz()


def main(arguments: list[str]) -> int:
    if not arguments or arguments[0] not in PROVIDERS:
        sys.exit(f"usage: fuzz_adapters.py {{{','.join(PROVIDERS)}}} [seconds]")
    provider, seconds = arguments[0], int(arguments[1]) if len(arguments) > 1 else _DEFAULT_S
    if len(arguments) > 2:
        fuzz(provider, seconds, Path(arguments[2]))
    with tempfile.TemporaryDirectory(prefix="trunkline-fuzz-") as folder:
        command = [sys.executable, __file__, provider, str(seconds), folder]
        child = subprocess.run(command, stderr=subprocess.PIPE, text=True, errors="replace")
    executions = re.search(r"number_of_executed_units: (\d+)", child.stderr)
    if child.returncode or executions is None:
        print(child.stderr, file=sys.stderr)
        print(f"{provider}: FOUND something, see above")
        return child.returncode or 1
    print(f"{provider}: {int(executions[1]):,} executions in {seconds} s, nothing found")
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))

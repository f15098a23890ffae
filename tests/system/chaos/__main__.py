"""python -m tests.system.chaos [FAULT ...] [--calls 50] [--rounds 20]"""

from __future__ import annotations

import argparse
import shutil
import sys
import tempfile
import time
from pathlib import Path

from tests.system.chaos.config import Config
from tests.system.chaos.fault import run
from tests.system.chaos.faults import known_faults
from tests.system.chaos.row import Row, table

__all__ = ["main"]


def main() -> int:
    faults = known_faults()
    listed = "\n".join(f"  {fault.name:<9} {fault.title}" for fault in faults.values())
    parser = argparse.ArgumentParser(
        prog="make chaos",
        description=f"Faults under load, and what they cost the calls.\n\n{listed}",
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("faults", nargs="*", metavar="FAULT", help="those to run; all by default")
    parser.add_argument("--calls", type=int, default=50, help="live at a time (50)")
    parser.add_argument("--rounds", type=int, default=20, help="of faults that come in rounds (20)")
    args = parser.parse_args()
    if unknown := [name for name in args.faults if name not in faults]:
        parser.error(f"no such fault: {', '.join(unknown)}; known are {', '.join(faults)}")
    chosen = [faults[name] for name in args.faults] or [f for f in faults.values() if f.takes_part]
    directory = Path(tempfile.mkdtemp(prefix="trunkline-chaos-"))
    config = Config(args.calls, args.rounds, directory)
    rows: list[Row] = []
    for fault in chosen:
        print(f"{fault.name}: {fault.title} ... ", end="", flush=True)
        began = time.monotonic()
        rows.append(run(fault, config))
        print(f"{rows[-1].verdict} ({time.monotonic() - began:.0f} s)", flush=True)
    print(f"\n{table(rows)}")
    has_failed = any(not row.has_passed for row in rows)
    if not has_failed:
        shutil.rmtree(directory)
    return int(has_failed)


if __name__ == "__main__":
    sys.exit(main())

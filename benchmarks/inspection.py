"""`plusx show resnet50` as a process, beside the usual tool for the same table.

Claimed (README): at most 300 ms and 60 MB, and at least 20 times faster than torchinfo, imports included on both sides,
because that is what a user waits for. Peers: peers/summary.py with torchinfo and fvcore, peers/trace.py with torchview and
TorchLens, where they are installed; they need the network built and a pass, plusx reads the same figures off the graph. A
bare `python -c pass` is measured beside them: that part of the time is nobody's to save. `show`, `geometry`, `diff` (at
most 300 ms) and `draw` (400 ms) of the deepest classical net, and the analysis of resnet1202 in process (100 ms), too.

    python benchmarks/inspection.py [--n 15] [--network resnet50] [--json FILE]

Every round runs each once, order turning round; one warm-up round is not counted. Exit 1 if a target is missed.
"""

from __future__ import annotations

import argparse
import importlib.util
import json
import statistics
import sys
from pathlib import Path

from _common import PEERS, Claims, Run, interleave, machine_line, process, ratio, save, spread

PLUSX = Path(sys.executable).parent / "plusx"
MS, MB, TIMES, DRAW_MS, ANALYSIS_MS = 300, 60, 20, 400, 100
DEEP = "resnet152"
SUMMARIES, TRACERS = ("torchinfo", "fvcore"), ("torchview", "torchlens")
ANALYSIS = """
import statistics, time, plusx
def ms():
    begin = time.perf_counter()
    plusx.analyse("resnet1202")
    return (time.perf_counter() - begin) * 1e3
print(statistics.median(ms() for _ in range(5)))
"""


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--n", type=int, default=15, help="rounds")
    parser.add_argument("--network", default="resnet50")
    parser.add_argument("--json", type=Path)
    asked = parser.parse_args()

    commands: dict[str, list[str | Path]] = {"plusx show": [PLUSX, "show", asked.network]}
    for tool in (*SUMMARIES, *TRACERS):
        if importlib.util.find_spec(tool):
            script = PEERS / ("summary.py" if tool in SUMMARIES else "trace.py")
            commands[tool] = [sys.executable, script, tool, asked.network]
    deep = {name: [PLUSX, name, DEEP] for name in ("show", "geometry", "draw")} | {
        "diff": [PLUSX, "diff", DEEP, "resnet101"]
    }
    commands |= {f"plusx {name} {DEEP}": command for name, command in deep.items()}
    commands["python -c pass"] = [sys.executable, "-c", "pass"]
    if "torchinfo" not in commands:
        sys.exit("plusx: the peer torchinfo is not installed; pip install 'plusx[bench]'")

    print(machine_line())
    print(f"{asked.network}, n = {asked.n} rounds; whole processes, imports included")
    runs = interleave({name: lambda c=command: process(c) for name, command in commands.items()}, asked.n)
    ms = {name: [run.ms for run in row] for name, row in runs.items()}
    mb = {name: [run.peak_mb for run in row] for name, row in runs.items()}
    check_outputs(asked.network, runs)
    print(f"\n{'':26}{'ms, median (min to max)':34}peak MB")
    for name in commands:
        print(f"{name:26}{spread(ms[name]):34}{statistics.median(mb[name]):7.0f}")

    print()
    claims = Claims()
    claims.check("plusx show, time", statistics.median(ms["plusx show"]), MS, "ms")
    claims.check("plusx show, peak memory", statistics.median(mb["plusx show"]), MB, "MB")
    for name in deep:
        row = f"plusx {name} {DEEP}"
        claims.check(row, statistics.median(ms[row]), DRAW_MS if name == "draw" else MS, "ms")
    in_process = float(process([sys.executable, "-c", ANALYSIS]).out)
    claims.check("analyse resnet1202 in process", in_process, ANALYSIS_MS, "ms")
    for tool in (name for name in commands if name in (*SUMMARIES, *TRACERS)):
        times = ratio(ms[tool], ms["plusx show"])
        print(f"          {tool} takes {times} of the time, {ratio(mb[tool], mb['plusx show'])} of the memory")
        if tool == "torchinfo":
            claims.check("torchinfo / plusx, lower end of the interval", times.low, TIMES, "x", at_most=False)
    save(asked.json, "inspection.py", asked.n, {"ms": ms, "peak_mb": mb}, claims)
    return claims.exit


def check_outputs(network: str, runs: dict[str, list[Run]]) -> None:
    """Every tool must have printed the network's parameter count; one that fails fast is not fast."""
    params = json.loads(process([PLUSX, "show", network, "--format", "json"]).out)["totals"]["params"]
    for name in ("plusx show", "torchinfo"):
        if f"{params:,}" not in runs[name][0].out:
            sys.exit(f"plusx: {name} did not print {params:,}, the number of parameters; the two do not do the same")


if __name__ == "__main__":
    sys.exit(main())

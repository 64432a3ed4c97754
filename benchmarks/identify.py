"""plusx weights identify of a 100 MB checkpoint and of a 47 MB ONNX file, beside torch.load(weights_only=True): time and memory.

Both run as whole processes, imports included, from files that lie in the page cache. plusx reads, hashes and recognises the
file, and looks at every value; torch.load reads it. The checkpoint is a ResNet-50 as torch.save writes it, the ONNX file a
ResNet-18 as torch exports it, both with random weights. Memory is what a process needs beyond the same imports without a file.

    python benchmarks/identify.py [--n 15] [--json FILE]

Claimed: at most 700 ms, and 1.5 times the size of the file in memory. Every round runs each once, order turning
round; one warm-up round is not counted. Exit 1 if a target is missed.
"""

from __future__ import annotations

import argparse
import statistics
import subprocess
import sys
import tempfile
from pathlib import Path

from _common import PEERS, Claims, interleave, machine_line, process, ratio, save, spread

MS, TIMES = 700, 1.5
WRITE = """
import sys, torch, torchvision, warnings
warnings.simplefilter("ignore")
torch.manual_seed(0)
torch.save(torchvision.models.resnet50().state_dict(), sys.argv[1])
torch.onnx.export(torchvision.models.resnet18().eval(), (torch.zeros(1, 3, 224, 224),), sys.argv[2], dynamo=False)
"""
IMPORTS = "import plusx.cli.main, plusx.weights.identification.identify, plusx.weights.identification.printing"
BARE = {"plusx": IMPORTS, "torch": "import torch"}


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--n", type=int, default=15, help="rounds")
    parser.add_argument("--json", type=Path)
    asked = parser.parse_args()
    print(machine_line())
    with tempfile.TemporaryDirectory() as scratch:
        checkpoint, graph = Path(scratch) / "resnet50.pth", Path(scratch) / "resnet18.onnx"
        subprocess.run([sys.executable, "-c", WRITE, checkpoint, graph], check=True, capture_output=True)
        identify = [sys.executable, "-m", "plusx", "weights", "identify"]
        commands: dict[str, list[str | Path]] = {
            "plusx, .pth": [*identify, checkpoint], "plusx, .onnx": [*identify, graph],
            "torch.load, .pth": [sys.executable, PEERS / "load_weights.py", checkpoint],
            **{f"{name}, imports": [sys.executable, "-c", code] for name, code in BARE.items()},
        }  # fmt: skip
        mb = {"plusx, .pth": checkpoint.stat().st_size / 1e6, "plusx, .onnx": graph.stat().st_size / 1e6}
        mb["torch.load, .pth"] = mb["plusx, .pth"]
        runs = interleave({name: lambda c=command: process(c) for name, command in commands.items()}, asked.n)
    for name, network in (("plusx, .pth", "resnet50"), ("plusx, .onnx", "resnet18")):
        if f"network      {network}" not in runs[name][0].out:
            sys.exit(f"plusx: {name} did not recognise {network}; the processes do not do what is claimed")
    ms, cpu, peak = (
        {name: [getattr(run, what) for run in row] for name, row in runs.items()}
        for what in ("ms", "cpu_ms", "peak_mb")
    )
    print(f"\nn = {asked.n} rounds; median (smallest to largest)")
    print(f"{'':18}{'ms':34}{'processor ms':34}{'peak MB':>8}{'of the file':>13}")
    grown: dict[str, float] = {}
    for name in commands:
        line = f"{name:18}{spread(ms[name]):34}{spread(cpu[name]):34}{statistics.median(peak[name]):8.0f}"
        if name in mb:
            bare = f"{'plusx' if name.startswith('plusx') else 'torch'}, imports"
            grown[name] = (statistics.median(peak[name]) - statistics.median(peak[bare])) / mb[name]
            line += f"{grown[name]:12.2f}x"
        print(line)
    print()
    claims = Claims()
    for name in ("plusx, .pth", "plusx, .onnx"):
        claims.check(f"{name}, time", statistics.median(ms[name]), MS, "ms")
        claims.check(f"{name}, memory beyond imports", grown[name], TIMES, "times the file")
    print(f"          torch.load takes {ratio(cpu['torch.load, .pth'], cpu['plusx, .pth'])} of the processor time")
    save(asked.json, "identify.py", asked.n, {"ms": ms, "cpu_ms": cpu, "peak_mb": peak, "file_mb": mb}, claims)
    return claims.exit


if __name__ == "__main__":
    sys.exit(main())

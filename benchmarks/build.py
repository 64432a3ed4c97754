"""From weights on disk to a network that has answered once, beside torchvision and timm; and how fast a graph is.

Claimed (README): `plusx.build("resnet152", weights=f)` is at least 5 times faster than torchvision's constructor and
`load_state_dict` of the same file, first forward included; `lower` of resnet152 takes at most 5 ms; every preset is
built from a file, so without initialisation, within 0.2 s.

What is timed, in a fresh process each, after the imports and after one small convolution has started torch's threads:
  plusx             plusx.build(text, weights=f)
  torchvision       resnet152(), then load_state_dict(load_file(f)): what its documentation shows
  torchvision meta  the same under torch.device("meta") with assign=True: what its experts do
  timm              create_model("resnet152"), then load_state_dict(load_file(f))
and then the first forward of one image in eval mode, since weights that are mapped and not read cost nothing until
then. The claim is about an image of 64 x 64: it reads every weight, and little else is in its time. At 224 x 224 the
arithmetic of the forward, the same for all (see the column of the second forward), is most of the time; that ratio is
printed without a target. f is one safetensors file with living batch-norm statistics, in the page cache for everyone;
all four must give the same logits.

    python benchmarks/build.py [--n 9] [--sizes 64 224] [--json FILE] [--skip-presets]

Every round runs each once, order turning round; one warm-up round is not counted. Exit 1 if a target is missed.
"""

from __future__ import annotations

import argparse
import json
import statistics
import sys
import tempfile
import time
from collections.abc import Callable
from itertools import pairwise
from pathlib import Path
from typing import Any

from _common import Claims, interleave, machine_line, process, ratio, save, spread

NETWORK = "resnet152"
CLAIMED_PX, TIMES, LOWER_MS, PRESET_S = 64, 5, 5, 0.2
BUILDERS = ("plusx", "torchvision", "torchvision meta", "timm")


# ---- the driver: holds no torch ----


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--n", type=int, default=9, help="rounds")
    parser.add_argument("--sizes", type=int, nargs="+", default=[CLAIMED_PX, 224], help="sides of the first image")
    parser.add_argument("--skip-presets", action="store_true", help="leave out the table of all presets")
    parser.add_argument("--json", type=Path)
    parser.add_argument("--worker", nargs="+", help=argparse.SUPPRESS)
    asked = parser.parse_args()
    if asked.worker:
        print(json.dumps(WORKERS[asked.worker[0]](*asked.worker[1:])))
        return 0

    claims = Claims()
    figures: dict[str, object] = {}
    print(machine_line())
    with tempfile.TemporaryDirectory() as folder:
        file = Path(folder) / f"{NETWORK}.safetensors"
        worker("make", file)
        for size in asked.sizes:
            figures[f"build, {size} px"] = compare_builders(file, size, asked.n, claims)
    figures["lower"] = time_lower(asked.n, claims)
    if not asked.skip_presets:
        figures["presets"] = time_presets(claims)
    save(asked.json, "build.py", asked.n, figures, claims)
    return claims.exit


def worker(*words: str | Path) -> Any:
    """What a fresh process running this script's worker answers."""
    return json.loads(process([sys.executable, __file__, "--worker", *words]).out.splitlines()[-1])


def compare_builders(file: Path, size: int, n: int, claims: Claims) -> dict[str, list[dict[str, float]]]:
    mb = file.stat().st_size / 1e6
    print(f"\n{NETWORK} from a file of {mb:.0f} MB, first forward at {size} x {size}; ms after imports, n = {n} rounds")
    runs = interleave({name: lambda name=name: worker("build", name, file, str(size)) for name in BUILDERS}, n)
    expected = runs["torchvision"][0]["logits"]
    for name, row in runs.items():
        if not all(abs(run["logits"] - expected) <= 1e-4 * abs(expected) for run in row):
            sys.exit(f"plusx: {name} gives other logits than torchvision from the same file; nothing to compare")
    total = {name: [run["build_ms"] + run["first_ms"] for run in row] for name, row in runs.items()}
    print(f"{'':18}{'build + first forward':34}{'build':>9}{'first':>9}{'second':>9}")
    for name, row in runs.items():
        parts = [statistics.median(run[key] for run in row) for key in ("build_ms", "first_ms", "second_ms")]
        print(f"{name:18}{spread(total[name]):34}{''.join(f'{part:9.1f}' for part in parts)}")
    for name in BUILDERS[1:]:
        times = ratio(total[name], total["plusx"])
        alone = ratio([run["build_ms"] for run in runs[name]], [run["build_ms"] for run in runs["plusx"]])
        print(f"          {name} / plusx: {times}; without the forward {alone}")
    against = ratio(total["torchvision"], total["plusx"])
    if size == CLAIMED_PX:
        claims.check("torchvision / plusx, first forward included", against.value, TIMES, "x", at_most=False)
    return runs


def time_lower(n: int, claims: Claims) -> list[dict[str, float]]:
    rows = [worker("lower") for _ in range(n)]
    first, again = (statistics.median(row[key] for row in rows) for key in ("first_ms", "again_ms"))
    print(f"\nparse and lower {NETWORK}: first call of a process {first:.1f} ms, later calls {again:.1f} ms")
    claims.check(f"lower {NETWORK}", again, LOWER_MS, "ms")
    return rows


def time_presets(claims: Claims) -> dict[str, dict[str, float]]:
    rows: dict[str, dict[str, float]] = worker("presets")
    columns = ("plusx", "torchvision", "timm", "torchvision meta", "timm meta")
    print("\nevery preset, seconds: plusx from a file; the others' constructors, also on meta with nothing loaded")
    print(f"{'':22}{''.join(f'{name:>18}' for name in columns)}")
    for preset, row in rows.items():
        cells = [f"{row[name]:18.3f}" if name in row else f"{'-':>18}" for name in columns]
        print(f"  {preset:20}{''.join(cells)}")
    slowest = max(rows, key=lambda preset: rows[preset]["plusx"])
    claims.check(f"slowest preset ({slowest})", rows[slowest]["plusx"], PRESET_S, "s")
    return rows


# ---- the workers: each in a fresh process ----


def make(file: str) -> int:
    import torch
    import torchvision
    from safetensors.torch import save_file

    torch.manual_seed(0)
    net = getattr(torchvision.models, NETWORK)()
    state = net.state_dict()
    for name, tensor in state.items():
        if name.endswith("running_mean"):
            tensor.normal_(0, 0.2)
        elif name.endswith("running_var"):
            tensor.uniform_(0.5, 1.5)
            state[name.replace("running_var", "weight")].uniform_(0.2, 0.6)
    save_file(state, file)
    return 0


def build(name: str, file: str, size: str) -> dict[str, float]:
    import torch
    from safetensors.torch import load_file

    load = builder(name, file, load_file)
    x = torch.linspace(-2, 2, 3 * int(size) ** 2).reshape(1, 3, int(size), int(size))
    torch.conv2d(torch.ones(1, 8, 16, 16), torch.ones(8, 8, 3, 3))
    with torch.inference_mode():
        marks = [time.perf_counter()]
        net = load().eval()
        marks.append(time.perf_counter())
        logits = net(x)
        marks.append(time.perf_counter())
        net(x)
        marks.append(time.perf_counter())
    if not torch.isfinite(logits).all() or logits.std() == 0:
        sys.exit("plusx: the logits are not finite or all the same; the file is no good for a comparison")
    build_ms, first_ms, second_ms = ((b - a) * 1000 for a, b in pairwise(marks))
    return {"build_ms": build_ms, "first_ms": first_ms, "second_ms": second_ms, "logits": float(logits.abs().sum())}


def builder(name: str, file: str, load_file: Callable[[str], Any]) -> Callable[[], Any]:
    """The call that is timed, with everything it needs imported."""
    if name == "plusx":
        import plusx

        return lambda: plusx.build(NETWORK, weights=file)
    import torch

    if name == "timm":
        import timm

        constructor = lambda: timm.create_model(NETWORK)  # noqa: E731
    else:
        import torchvision

        constructor = getattr(torchvision.models, NETWORK)

    def load() -> Any:
        net = constructor()
        net.load_state_dict(load_file(file))
        return net

    def load_on_meta() -> Any:
        with torch.device("meta"):
            net = constructor()
        net.load_state_dict(load_file(file), assign=True)
        return net

    return load_on_meta if name.endswith("meta") else load


def lower() -> dict[str, float]:
    import plusx

    if "torch" in sys.modules:
        sys.exit("plusx: import plusx has loaded torch")
    times = [seconds(lambda i=i: plusx.lower(f"{NETWORK} classes={1000 - i}")) for i in range(21)]
    return {"first_ms": times[0] * 1000, "again_ms": statistics.median(times[1:]) * 1000}


def presets() -> dict[str, dict[str, float]]:
    """Seconds (median of 5) to build every preset, and the nets of the same name elsewhere."""
    import timm
    import torch
    import torchvision
    from safetensors.torch import save_file

    import plusx
    import plusx.nn

    def on_meta(call: Callable[[], Any]) -> Callable[[], Any]:
        def made() -> Any:
            with torch.device("meta"):
                return call()

        return made

    rows: dict[str, dict[str, float]] = {}
    for preset in plusx.presets:
        with tempfile.TemporaryDirectory() as folder:
            file = Path(folder) / "weights.safetensors"
            save_file(plusx.nn.build(preset).state_dict(), file)
            calls: dict[str, Callable[[], Any]] = {"plusx": lambda p=preset, f=file: plusx.build(p, weights=f)}
            if preset in torchvision.models.list_models():
                calls["torchvision"] = lambda p=preset: getattr(torchvision.models, p)()
            if timm.is_model(preset):
                calls["timm"] = lambda p=preset: timm.create_model(p)
            for peer in ("torchvision", "timm"):
                if peer in calls:
                    calls[f"{peer} meta"] = on_meta(calls[peer])
            times = interleave({name: lambda c=call: seconds(c) for name, call in calls.items()}, 5)
        rows[preset] = {name: statistics.median(row) for name, row in times.items()}
    return rows


def seconds(call: Callable[[], object]) -> float:
    start = time.perf_counter()
    call()
    return time.perf_counter() - start


WORKERS: dict[str, Callable[..., Any]] = {"make": make, "build": build, "lower": lower, "presets": presets}


if __name__ == "__main__":
    sys.exit(main())

"""What adding gradients in order of rank costs a training on several processes, beside DistributedDataParallel's own sums.

One thread each trains --network on images drawn at random. In each round the same processes make a step three ways, in an
order that turns round:
  summed    as `plusx train` does: each bucket is added in order of rank while the backward pass goes on
  after     the same sums, after the backward pass (plusx before that)
  ddp       torch's own all-reduce, which depends on how gradients lie in buckets
  alone     no exchange at all: what the step itself takes

    python benchmarks/exchange.py [--network …] [--size PX] [--batch N] [--processes 2] [--n 9] [--mbit 1000] [--json FILE]

--mbit gives every process a machine of its own, a network namespace, with a link of so many Mbit/s to the others (Linux, root,
iproute2). Without it they speak over loopback, which costs processor time and no waiting.
Target: `summed` takes at most 1.1 times the time of `ddp`. Exit 1 if it is missed.
"""

from __future__ import annotations

import argparse
import json
import os
import statistics
import subprocess
import sys
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, contextmanager
from pathlib import Path

from _common import Claims, machine_line, ratio, save

WAYS = ("summed", "after", "ddp", "alone")
PORT = "29517"


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--network", default="resnet50")
    parser.add_argument("--size", type=int, default=96, help="pixels of a side")
    parser.add_argument("--batch", type=int, default=8, help="images of each process")
    parser.add_argument("--processes", type=int, default=2)
    parser.add_argument("--n", type=int, default=9, help="rounds")
    parser.add_argument("--mbit", type=int, help="speed of each process's link")
    parser.add_argument("--json", type=Path)
    asked = parser.parse_args()
    if "RANK" in os.environ:
        work(asked)
        return 0
    print(machine_line())
    with ExitStack() as stack:
        places = stack.enter_context(machines(asked.processes, asked.mbit)) if asked.mbit else None
        rows = run(asked, places)
    report(rows)
    claims = Claims()
    median = {way: statistics.median(rows[way]) for way in WAYS}
    claims.check(
        "a step with sums in order of rank, over one of DistributedDataParallel",
        median["summed"] / median["ddp"],
        1.1,
        "",
    )
    save(asked.json, "exchange.py", asked.n, {"asked": {k: str(v) for k, v in vars(asked).items()}, "ms": rows}, claims)
    return claims.exit


# ---- the processes ----


@contextmanager
def machines(count: int, mbit: int) -> Iterator[list[str]]:
    """Network namespaces on one bridge, each with a link of `mbit` Mbit/s in both directions."""
    names = [f"plusx{os.getpid()}-{i}" for i in range(count)]
    bridge = f"plusx{os.getpid()}-b"

    def ip(*words: str) -> None:
        subprocess.run(["ip", *words], check=True)

    def limit(*where: str) -> None:
        rule = [
            "qdisc",
            "add",
            "dev",
            where[-1],
            "root",
            "tbf",
            "rate",
            f"{mbit}mbit",
            "burst",
            "256kb",
            "latency",
            "400ms",
        ]
        subprocess.run([*where[:-1], "tc", *rule], check=True)

    try:
        ip("netns", "add", bridge)
        ip("-n", bridge, "link", "add", "br0", "type", "bridge")
        ip("-n", bridge, "link", "set", "br0", "up")
        for i, name in enumerate(names):
            ip("netns", "add", name)
            ip("-n", name, "link", "add", "eth0", "type", "veth", "peer", "name", f"port{i}", "netns", bridge)
            ip("-n", name, "addr", "add", f"10.77.0.{i + 1}/24", "dev", "eth0")
            ip("-n", bridge, "link", "set", f"port{i}", "master", "br0")
            for where, device in ((name, "lo"), (name, "eth0"), (bridge, f"port{i}")):
                ip("-n", where, "link", "set", device, "up")
            limit("ip", "netns", "exec", name, "eth0")
            limit("ip", "netns", "exec", bridge, f"port{i}")
        yield names
    finally:
        for name in (*names, bridge):
            subprocess.run(["ip", "netns", "del", name], check=False, capture_output=True)


def run(asked: argparse.Namespace, places: list[str] | None) -> dict[str, list[float]]:
    """Milliseconds of each step of the slowest process."""
    env = {**os.environ, "WORLD_SIZE": str(asked.processes), "MASTER_PORT": PORT, "OMP_NUM_THREADS": "1"}
    env |= {"MASTER_ADDR": "10.77.0.1", "GLOO_SOCKET_IFNAME": "eth0"} if places else {"MASTER_ADDR": "127.0.0.1"}
    words = [sys.executable, __file__, *sys.argv[1:]]
    children = [
        subprocess.Popen(
            [*(["ip", "netns", "exec", places[rank]] if places else []), *words],
            env={**env, "RANK": str(rank), "LOCAL_RANK": str(rank)}, stdout=subprocess.PIPE, text=True,
        )
        for rank in range(asked.processes)
    ]  # fmt: skip
    outs = [child.communicate()[0] for child in children]
    if any(child.returncode for child in children):
        sys.exit("exchange.py: a process failed")
    found = [json.loads(out.splitlines()[-1]) for out in outs]
    return {way: [max(one) for one in zip(*(rows[way] for rows in found), strict=True)] for way in WAYS}


def work(asked: argparse.Namespace) -> None:
    """What each process does: prints the milliseconds of its steps as JSON."""
    import time

    import torch
    from torch import distributed as dist
    from torch.nn.parallel import DistributedDataParallel

    from plusx.nn import build
    from plusx.training.distributed import process_group
    from plusx.training.gradients import SummedGradients

    torch.set_num_threads(1)
    torch.manual_seed(0)
    group = process_group("cpu")
    x, y = torch.randn(asked.batch, 3, asked.size, asked.size), torch.zeros(asked.batch, dtype=torch.int64)
    x = x.contiguous(memory_format=torch.channels_last)

    def network() -> torch.nn.Module:
        return build(asked.network).to(memory_format=torch.channels_last)  # type: ignore[call-overload]

    def loss(net: Callable[[torch.Tensor], torch.Tensor]) -> torch.Tensor:
        with torch.autocast("cpu", torch.bfloat16):
            return torch.nn.functional.cross_entropy(net(x), y)

    plain = network()
    inner = network()
    summed = SummedGradients(inner, group)
    ddp = DistributedDataParallel(network(), gradient_as_bucket_view=True)

    def step(way: str) -> None:
        if way == "summed":
            inner.zero_grad(set_to_none=True)
            with summed.backward(last=True):
                loss(summed).backward()
            return
        net = ddp if way == "ddp" else plain
        net.zero_grad(set_to_none=True)
        loss(net).backward()
        if way == "after":
            group.all_reduce_sum([p.grad for p in plain.parameters() if p.grad is not None])

    rows: dict[str, list[float]] = {way: [] for way in WAYS}
    for turn in range(-2, asked.n):
        for way in WAYS if turn % 2 == 0 else reversed(WAYS):
            dist.barrier()
            began = time.perf_counter()
            step(way)
            if turn >= 0:
                rows[way].append((time.perf_counter() - began) * 1000)
    dist.barrier()
    print(json.dumps(rows))


# ---- summing up ----


def report(rows: dict[str, list[float]]) -> None:
    alone: Sequence[float] = rows["alone"]
    print(f"  {'':8} {'ms a step':>10}   beside no exchange")
    for way in WAYS:
        print(f"  {way:8} {statistics.median(rows[way]):10.0f}   {ratio(rows[way], alone)}")


if __name__ == "__main__":
    sys.exit(main())

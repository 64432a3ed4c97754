"""What the page of `plusx explore` costs: the time of an answer, and the bytes of the page.

Claimed (docs/explore.md): an answer about resnet152 takes at most 30 ms of the processor; the page is below 300 kB.

An answer is what the server does for /api/view, to JSON bytes, with the cache of shortest words emptied: what is timed is a
network that nobody has asked for before. Time is that of the processor, since a server shares its machine.

    python benchmarks/explore.py [--n 30] [--json FILE]

Exit 1 if a target is missed.
"""

from __future__ import annotations

import argparse
import gzip
import statistics
import sys
import time
from pathlib import Path

from _common import Claims, machine_line, save, spread
from plusx.explorer.site import page_files
from plusx.explorer.views import answer
from plusx.files import json_text
from plusx.specs.printing import shortest_words

ANSWER_MS, PAGE_KB = 30, 300
NETWORKS = ("resnet18", "resnet50", "resnet152", "resnet1202")
CLAIMED = "resnet152"


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--n", type=int, default=30, help="answers a network")
    parser.add_argument("--json", type=Path, metavar="FILE", help="also save all figures")
    args = parser.parse_args()
    print(machine_line())
    times = {net: [answer_ms(net) for _round in range(args.n + 1)][1:] for net in NETWORKS}
    for net, found in times.items():
        print(f"{net:<12} {spread(found)} ms, {len(json_text(answer({'net': net}))) / 1e3:.0f} kB of JSON")
    files = {name: file.content for name, file in page_files().items() if not name.startswith("live/")}
    size = sum(map(len, files.values())) / 1e3
    packed = sum(len(gzip.compress(content)) for content in files.values()) / 1e3
    print(f"page: {len(files)} files, {size:.1f} kB, {packed:.1f} kB with gzip")
    claims = Claims()
    claims.check(f"answer about {CLAIMED}", statistics.median(times[CLAIMED]), ANSWER_MS, "ms")
    claims.check("page", size, PAGE_KB, "kB")
    save(args.json, "explore", args.n, {"answer_ms": times, "page_kb": size, "page_gzip_kb": packed}, claims)
    return claims.exit


def answer_ms(net: str) -> float:
    shortest_words.cache_clear()
    begin = time.process_time()
    json_text(answer({"net": net})).encode()
    return (time.process_time() - begin) * 1e3


if __name__ == "__main__":
    sys.exit(main())

"""What each surgery changes: largest difference over the largest value, before and after, float32, living nets.

python scripts/surgery_table.py        (from a clone, with the development environment)
"""

from __future__ import annotations

import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parent.parent / "tests"))

from nn.test_surgery import CASES, NETS, gap


def main() -> None:
    print("| net | " + " | ".join(CASES) + " |")
    print("|---" * (len(CASES) + 1) + "|")
    for name in NETS:
        cells = ["0" if (g := gap(o, name)) == 0 else f"{g:.0e}" for o in CASES if name in CASES[o][3]]
        found = dict(zip([o for o in CASES if name in CASES[o][3]], cells, strict=True))
        print(f"| {name} | " + " | ".join(found.get(o, "refused") for o in CASES) + " |")


if __name__ == "__main__":
    main()

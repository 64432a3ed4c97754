"""Which dilation policies are the atrous identity on which block: largest relative difference in float64, living statistics.

python scripts/policy_table.py        (from a clone, with the development environment)
"""

from __future__ import annotations

import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parent.parent / "tests"))

from nn.test_exact_dilation import BLOCKS, EXACT, POLICIES, error_of
from plusx.errors import SpecError


def cell(words: str, policy: str, stride: int) -> str:
    try:
        error = error_of(words, policy, stride, 97)
    except SpecError:
        return "refused"
    return "exact" if error < EXACT else f"{error:.2f}"


def main() -> None:
    print("| block | output_stride | " + " | ".join(POLICIES) + " |")
    print("|---" * (len(POLICIES) + 2) + "|")
    for block, words in BLOCKS.items():
        for stride in (16, 8):
            cells = [cell(words, policy, stride) for policy in POLICIES]
            print(f"| {block} | {stride} | " + " | ".join(cells) + " |")


if __name__ == "__main__":
    main()

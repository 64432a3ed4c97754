"""The table of docs/check.md and docs/check.zh.md: every planted mistake, and what `plusx check` says of it.

python scripts/check_table.py            writes the table into both pages, between its two marks
"""

from __future__ import annotations

import sys
import tempfile
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
sys.path.insert(0, str(ROOT / "tests/checking"))

from planted import PLANTED  # pyright: ignore[reportMissingImports]  # noqa: E402
from reading_here import check_file  # pyright: ignore[reportMissingImports]  # noqa: E402

from plusx.i18n import translate  # noqa: E402

BEGIN, END = "<!-- table of scripts/check_table.py -->", "<!-- end of the table -->"
HEADS = {"check.md": ("mistake", "network", "what is said", "en"), "check.zh.md": ("错误", "网络", "给出的说明", "zh")}


def main() -> int:
    said = {}
    with tempfile.TemporaryDirectory() as folder:
        for planted in PLANTED:
            file = Path(folder) / "net.py"
            file.write_text(planted.source, encoding="utf-8")
            (finding,) = check_file(file, planted.made).findings
            said[planted] = finding.said.what
    for name, (mistake, network, what, lang) in HEADS.items():
        path = ROOT / "docs" / name
        before, _begin, rest = path.read_text(encoding="utf-8").partition(BEGIN)
        rows = [f"| {planted.name} | {planted.net} | {translate(text, lang)} |" for planted, text in said.items()]
        table = "\n".join([f"| {mistake} | {network} | {what} |", "|---|---|---|", *rows])
        path.write_text(f"{before}{BEGIN}\n\n{table}\n\n{END}{rest.partition(END)[2]}", encoding="utf-8")
    return 0


if __name__ == "__main__":
    sys.exit(main())

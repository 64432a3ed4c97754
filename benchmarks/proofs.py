"""Every export of some trained networks with its proof: targets x precisions, accuracy kept, largest difference, size.

Nothing is measured in time. Each export is made anew in a copy of the bundle, so the bundle stays as it is; one that the
gate refuses is a row too. Exit 1 if an fp32 export is refused (bf16 and int8 may be: that is what the gate is for).

    python benchmarks/proofs.py runs/digits runs/fashion corpus/resnet50=corpus/labelled

SOURCE=DATA names the images to prove on; without it they are the run's own held-out share.
"""

from __future__ import annotations

import argparse
import shutil
import sys
import tempfile
from pathlib import Path

from _common import machine_line
from plusx.bundles import open_bundle, save_bundle
from plusx.deploy import ExportConfig, export
from plusx.deploy.targets import TARGETS
from plusx.errors import GateError

HEAD: tuple[str, ...] = (
    "to",
    "precision",
    "n",
    "top-1",
    "torch fp32",
    "agree",
    "difference",
    "margin",
    "flip",
    "MB",
    "",
)


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("sources", nargs="+", metavar="SOURCE[=DATA]")
    asked = parser.parse_args()
    print(machine_line())
    failed = False
    for text in asked.sources:
        source, _, data = text.partition("=")
        bundle = open_bundle(source)
        print(f"\n{bundle.spec}, {len(bundle.classes)} classes, {bundle.preprocessing.crop_px} px")
        rows = [HEAD]
        for to, target in TARGETS.items():
            for precision in target.rules.precisions:
                row, held = exported(source, ExportConfig(to, precision, data=data or None))
                rows.append(row)
                failed |= precision == "fp32" and not held
        widths = [max(len(row[i]) for row in rows) for i in range(len(HEAD) - 1)]
        for row in rows:
            print(
                "  " + "  ".join(f"{cell:>{w}}" for cell, w in zip(row, widths, strict=False)) + f"  {row[-1]}".rstrip()
            )
    return int(failed)


def exported(source: str, config: ExportConfig) -> tuple[tuple[str, ...], bool]:
    with tempfile.TemporaryDirectory(prefix="plusx-proofs-") as scratch:
        said: list[str] = []
        try:
            made = export(copied(source, Path(scratch)), config, Path(scratch) / "out", said.append)
        except GateError as error:
            return (config.to, config.precision, *["-"] * (len(HEAD) - 3), str(error).split(". ")[0]), False
        p = made.proof
        size = sum(path.stat().st_size for path in made.path.rglob("*") if path.is_file()) / 1e6
        rescued = "some layers stay in float" if any("return to float" in line for line in said) else ""
        top1 = ("-" if share is None else f"{share:.2%}" for share in (p.top1, p.reference_top1))
        figures = (f"{p.agreement:.2%}", f"{p.difference:.1e}", f"{p.median_margin:.2f}", f"{p.widest_flip:.2f}")
        return (config.to, config.precision, str(p.n), *top1, *figures, f"{size:.1f}", rescued), True


def copied(source: str, folder: Path) -> Path:
    """The bundle, beside its run.json if it is a run's: that says where its images are."""
    found = open_bundle(source)
    run = found.path.parent / "run.json"
    if run.exists():
        shutil.copy(run, folder / "run.json")
    return save_bundle(
        folder / "bundle",
        found.spec,
        found.classes,
        found.preprocessing,
        found.weights(),
        found.metrics,
        found.provenance,
    )


if __name__ == "__main__":
    sys.exit(main())

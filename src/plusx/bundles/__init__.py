"""Bundles (trained networks) and runs on disk. Needs only numpy and safetensors; writes are atomic."""

from plusx.bundles.bundle import Bundle, bundle_stamp, is_bundle, open_bundle, save_bundle
from plusx.bundles.records import DataRecord, PartRecord, Provenance, RunRecord
from plusx.bundles.run import (
    append_line,
    checkpoint_names,
    newest_checkpoint,
    newest_complete,
    prune_checkpoints,
    read_checkpoint_dir,
    read_lines,
    read_run,
    start_run,
    write_checkpoint_dir,
    write_skipped,
)
from plusx.bundles.run_place import check_output_dir
from plusx.bundles.run_weights import open_weights
from plusx.bundles.serialisation import bytes_to_tensors, tensors_to_bytes

__all__ = [
    "Bundle",
    "DataRecord",
    "PartRecord",
    "Provenance",
    "RunRecord",
    "append_line",
    "bundle_stamp",
    "bytes_to_tensors",
    "check_output_dir",
    "checkpoint_names",
    "is_bundle",
    "newest_checkpoint",
    "newest_complete",
    "open_bundle",
    "open_weights",
    "prune_checkpoints",
    "read_checkpoint_dir",
    "read_lines",
    "read_run",
    "save_bundle",
    "start_run",
    "tensors_to_bytes",
    "write_checkpoint_dir",
    "write_skipped",
]

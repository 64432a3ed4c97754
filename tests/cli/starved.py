"""Run a command of plusx where the system starts no further thread; as root, under a user that has no privilege to."""

from __future__ import annotations

import ctypes
import os
import resource
import struct
import sys

KEEPCAPS, VERSION_3 = 8, 0x20080522
READ_ANYTHING = 1 << 1 | 1 << 2
"""CAP_DAC_OVERRIDE and CAP_DAC_READ_SEARCH: Python itself may lie where that user may not look."""


def starve() -> None:
    libc = ctypes.CDLL(None, use_errno=True)
    if os.geteuid() == 0:  # limits of processes do not hold for root
        libc.prctl(KEEPCAPS, 1, 0, 0, 0)
        os.setgid(54321)
        os.setuid(54321)
        sets = struct.pack("6I", READ_ANYTHING, READ_ANYTHING, 0, 0, 0, 0)
        if libc.capset(struct.pack("Ii", VERSION_3, 0), sets):
            raise OSError(ctypes.get_errno(), "capset")
    resource.setrlimit(resource.RLIMIT_NPROC, (1, 1))


if __name__ == "__main__":
    starve()
    from plusx.cli.main import main

    sys.exit(main(sys.argv[1:]))

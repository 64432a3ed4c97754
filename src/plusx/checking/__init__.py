"""Is a network that somebody wrote a ResNet? Their module is read, aligned with the nearest spec, and compared."""

from plusx.checking.checked import Checked, check, spec_of_file
from plusx.checking.findings import Finding
from plusx.checking.reading import read_module

__all__ = ["Checked", "Finding", "check", "read_module", "spec_of_file"]

"""What `npu-smi` prints, read into types. Text in, readings out: nothing here runs a command."""

from harness.devices.npu_smi.errors import NpuSmiError, parse_error
from harness.devices.npu_smi.info import IncompleteTableWarning, InfoTable, parse_info, read_info
from harness.devices.npu_smi.mapping import NpuChip, parse_mapping
from harness.devices.npu_smi.properties import Clocks, parse_clocks, parse_firmware, parse_versions
from harness.devices.npu_smi.reading import NpuProcess, NpuReading

__all__ = [
    "Clocks",
    "IncompleteTableWarning",
    "InfoTable",
    "NpuChip",
    "NpuProcess",
    "NpuReading",
    "NpuSmiError",
    "parse_clocks",
    "parse_error",
    "parse_firmware",
    "parse_info",
    "parse_mapping",
    "parse_versions",
    "read_info",
]

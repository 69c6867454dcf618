"""What NVIDIA's driver tells of one GPU through NVML: memory, processes, utilisation, temperature.

Nothing depends on it: without the driver or the package, and for devices of other makers, there is
no reading and everything goes on. What a driver does not support is None in a reading.
"""

import contextlib
import os
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import PurePath
from typing import Any, TypeVar

import psutil

T = TypeVar("T")


@dataclass(frozen=True, slots=True)
class GpuProcess:
    """A process that uses the GPU; `bytes` is None where the driver mode does not tell."""

    pid: int
    name: str
    bytes: int | None

    @property
    def label(self) -> str:
        """Its name in the ledger: "python3 (4242)"."""
        return f"{self.name} ({self.pid})"


@dataclass(frozen=True, slots=True)
class Reading:
    """One look at a GPU. Sizes are bytes, `utilisation` is percent, `temperature` degrees Celsius.

    `own` is what this process uses, and `others` are the other processes; None where the driver
    does not tell, or tells of processes of another pid namespace than ours.
    """

    name: str | None
    uuid: str | None
    total: int | None
    used: int | None
    own: int | None
    others: tuple[GpuProcess, ...] | None
    utilisation: int | None
    temperature: int | None


class Nvml:
    """Reads the GPU at a PCI bus id, such as "0000:01:00.0": numbers depend on the environment.

    `problem` says in a few words why the last look found nothing. Not thread-safe.
    """

    def __init__(self, pci_bus_id: str | None) -> None:
        self._bus_id = pci_bus_id
        self._nvml: Any = None
        self._handle: Any = None
        self.problem: str | None = None

    def read(self) -> Reading | None:
        """Look at the GPU; None if it cannot be seen now. Never raises for what a driver does."""
        if self._bus_id is None:
            self.problem = "the device has no PCI bus id"
            return None
        try:
            import pynvml
        except ImportError:
            self.problem = "the package nvidia-ml-py is not installed"
            return None
        try:
            if self._handle is None:
                self._open(pynvml)
            reading = self._read()
        except pynvml.NVMLError as error:
            self.problem = str(error)
            self.close()
            return None
        self.problem = None
        return reading

    def close(self) -> None:
        """Let go of the driver; the next `read` opens it again."""
        nvml, self._nvml, self._handle = self._nvml, None, None
        if nvml is not None:
            with contextlib.suppress(nvml.NVMLError):
                nvml.nvmlShutdown()

    def _open(self, pynvml: Any) -> None:
        pynvml.nvmlInit()
        self._nvml = pynvml
        assert self._bus_id is not None
        self._handle = pynvml.nvmlDeviceGetHandleByPciBusId(self._bus_id.encode())

    def _read(self) -> Reading:
        nvml, handle = self._nvml, self._handle
        memory = self._ask(lambda: nvml.nvmlDeviceGetMemoryInfo(handle))
        # A part of a divided GPU: NVML would count the whole.
        divided = self._ask(lambda: nvml.nvmlDeviceGetMigMode(handle)[0]) == 1
        found = None if divided else self._processes()
        own, others = _apart(found)
        rates = self._ask(lambda: nvml.nvmlDeviceGetUtilizationRates(handle))
        sensor = nvml.NVML_TEMPERATURE_GPU
        return Reading(
            name=self._ask(lambda: _text(nvml.nvmlDeviceGetName(handle))),
            uuid=self._ask(lambda: _text(nvml.nvmlDeviceGetUUID(handle))),
            total=None if divided or memory is None else int(memory.total),
            used=None if divided or memory is None else int(memory.used),
            own=own,
            others=others,
            utilisation=None if rates is None else int(rates.gpu),
            temperature=self._ask(lambda: int(nvml.nvmlDeviceGetTemperature(handle, sensor))),
        )

    def _processes(self) -> dict[int, GpuProcess] | None:
        """All processes of the GPU; one that computes and draws is one process."""
        nvml, handle = self._nvml, self._handle
        computing = self._ask(lambda: nvml.nvmlDeviceGetComputeRunningProcesses(handle))
        if computing is None:
            return None
        drawing = self._ask(lambda: nvml.nvmlDeviceGetGraphicsRunningProcesses(handle)) or []
        found: dict[int, GpuProcess] = {}
        for entry in [*computing, *drawing]:
            pid, size = int(entry.pid), entry.usedGpuMemory
            known = found.get(pid)
            if known is None or (size or 0) > (known.bytes or 0):
                found[pid] = GpuProcess(pid, self._name(pid), size)
        return found

    def _name(self, pid: int) -> str:
        name = self._ask(lambda: _text(self._nvml.nvmlSystemGetProcessName(pid)))
        if not name:
            with contextlib.suppress(psutil.Error):
                name = psutil.Process(pid).name()
        # Of a command line only the program: its arguments are nobody's business.
        return PurePath((name or "process").split(" ")[0]).name or "process"

    def _ask(self, question: Callable[[], T]) -> T | None:
        """The answer, or None if the driver has none; raises NVMLError if the GPU is gone."""
        nvml = self._nvml
        gone = (nvml.NVML_ERROR_GPU_IS_LOST, nvml.NVML_ERROR_UNINITIALIZED)
        try:
            return question()
        except nvml.NVMLError as error:
            if error.value in gone:
                raise
            return None


def _apart(
    found: Mapping[int, GpuProcess] | None,
) -> tuple[int | None, tuple[GpuProcess, ...] | None]:
    """This process's bytes, and the other processes."""
    if found is None:
        return None, None
    me = found.get(os.getpid())
    others = tuple(process for pid, process in sorted(found.items()) if pid != os.getpid())
    return (None if me is None else me.bytes), others


def _text(value: str | bytes) -> str:
    return value.decode(errors="replace") if isinstance(value, bytes) else value

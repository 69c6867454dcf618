"""Checks of the machine: the compiler, the engine and its device, memory, disk, ports."""

import os
import platform
import shutil
from collections.abc import Iterator
from pathlib import Path

import psutil

from lmx.api.address import require_free_port, url_of
from lmx.api.doctor.check import Check
from lmx.api.inspection import (
    INSTALL_ENGINE,
    DeviceDescription,
    describe_device,
    engine_installed,
)
from lmx.api.supervisor.state import running_pid
from lmx.workflows.config import Settings
from lmx.workflows.errors import LmxError
from lmx.workflows.units import format_bytes

_COMPILERS = ("c++", "g++", "clang++")
_MEMORY_WANTED = 2 << 30
_DISK_WANTED = 2 << 30
_DISK_NEEDED = 256 << 20


def check_python(_: Settings) -> Iterator[Check]:
    """The interpreter and the system beneath it."""
    system = f"{platform.system()} {platform.release()}, {os.cpu_count()} cores"
    yield Check("python", "ok", f"Python {platform.python_version()} on {system}")


def check_compiler(_: Settings) -> Iterator[Check]:
    """A C++ compiler, which only building the engine needs."""
    found = os.environ.get("CXX") or next(filter(None, map(shutil.which, _COMPILERS)), None)
    if found:
        yield Check("compiler", "ok", found)
    elif engine_installed():
        yield Check("compiler", "ok", "none, and none is needed: the engine is built")
    else:
        advice = "install one (Debian: apt install g++ make; Fedora: dnf install gcc-c++ make)"
        yield Check("compiler", "warn", "no C++ compiler, so the engine cannot be built", advice)


def check_engine(settings: Settings) -> Iterator[Check]:
    """The engine and the device that it will use."""
    if not engine_installed():
        text = "not installed: local models cannot run"
        yield Check("engine", "warn", text, INSTALL_ENGINE)
        return
    try:
        device = describe_device(settings.device)
    except LmxError as error:
        hint = error.hint or "check LMX_DEVICE, or reinstall the engine"
        yield Check("engine", "fail", error.message, hint)
        return
    room = device.cap
    cap = settings.vram_cap or room
    what = f"device {device.name} ({device.description})"
    yield Check("engine", "ok", f"{what}, lmx uses at most {format_bytes(cap)} of it")
    yield from _check_gpu(device)
    if cap > room:
        advice = f"lower LMX_VRAM_CAP to {format_bytes(room)} or less"
        if cap > room / 9 * 10:  # no engine takes it
            yield Check("engine", "fail", "the cap is more than the device has", advice)
        else:
            yield Check("engine", "warn", "the cap is more than 90 % of the device", advice)


def _check_gpu(device: DeviceDescription) -> Iterator[Check]:
    """Who else is on the GPU, and how warm it is."""
    if device.in_use is None:
        return
    gpu, used = device.gpu, f"{format_bytes(device.in_use)} are in use"
    if gpu is None:
        advice = "without it other processes have no names; install nvidia-ml-py for NVIDIA's"
        text = f"{used}; nothing more is known: {device.gpu_problem}"
        yield Check("gpu", "warn", text, advice)
        return
    told = [used]
    if gpu["temperature"] is not None:
        told.append(f"{gpu['temperature']} °C")
    if gpu["utilisation"] is not None:
        told.append(f"{gpu['utilisation']} % busy")
    for process in gpu["others"] or ():
        size = "" if process["bytes"] is None else f" {format_bytes(process['bytes'])}"
        told.append(f"{process['name']} ({process['pid']}){size}")
    yield Check("gpu", "ok", ", ".join(told))


def check_memory(_: Settings) -> Iterator[Check]:
    """Free main memory."""
    memory = psutil.virtual_memory()
    text = f"{format_bytes(memory.available)} of {format_bytes(memory.total)} are available"
    if memory.available < _MEMORY_WANTED:
        yield Check("memory", "warn", text, "close other programs before running models")
    else:
        yield Check("memory", "ok", text)


def check_disk(settings: Settings) -> Iterator[Check]:
    """Room for the database and for models, where the home is or will be."""
    home = settings.home
    folder = next(path for path in (home, *home.parents) if path.exists())
    if not os.access(folder, os.W_OK):
        yield Check("disk", "fail", f"{folder} cannot be written", "set LMX_HOME to another folder")
        return
    free = shutil.disk_usage(folder).free
    text = f"{format_bytes(free)} free in {_short(home)}"
    advice = "free some space, or set LMX_HOME to a folder on another disk"
    if free < _DISK_NEEDED:
        yield Check("disk", "fail", text, advice)
    elif free < _DISK_WANTED:
        yield Check("disk", "warn", text, advice)
    else:
        yield Check("disk", "ok", text)


def check_port(settings: Settings) -> Iterator[Check]:
    """The API's port: free, or held by lmx itself."""
    url = url_of(settings.api_host, settings.api_port)
    if running_pid(settings.home) is not None:
        yield Check("port", "ok", f"{url} is served by lmx")
        return
    try:
        require_free_port(settings.api_host, settings.api_port)
    except LmxError as error:
        yield Check("port", "fail", error.message, error.hint)
    else:
        yield Check("port", "ok", f"{url} is free")


def _short(path: Path) -> str:
    try:
        return f"~/{path.relative_to(Path.home())}"
    except ValueError:
        return str(path)

"""What the GPU worker learns from NVIDIA's driver, through the real pynvml."""

import os
from collections.abc import Iterator
from pathlib import Path

import pytest

from lmx.workers.gpu.nvml import Nvml
from tests.support.fake_nvml import BUS_ID, FakeGpu, Reader, build

GIB = 2**30
NOT_SUPPORTED, LOST, NO_DRIVER = 3, 15, 9


@pytest.fixture(scope="module")
def script(tmp_path_factory: pytest.TempPathFactory, pytestconfig: pytest.Config) -> Iterator[Path]:
    """Lets processes started from now on load the stand-in; returns its script."""
    assert pytestconfig.cache is not None
    library = build(Path(pytestconfig.cache.mkdir("nvml")))
    paths = [str(library.parent), os.environ.get("LD_LIBRARY_PATH", "")]
    script = tmp_path_factory.mktemp("nvml") / "gpu"
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("LD_LIBRARY_PATH", os.pathsep.join(filter(None, paths)))
        patch.setenv("FAKE_NVML", str(script))
        yield script


@pytest.fixture(scope="module")
def reader(script: Path) -> Iterator[Reader]:
    """A process that reads GPUs through lmx; `script` is what it will see."""
    assert script.parent.is_dir()
    reader = Reader()
    yield reader
    reader.close()


@pytest.fixture
def gpu(script: Path) -> FakeGpu:
    """A GPU of 8 GiB that says what the test lets it say."""
    gpu = FakeGpu(script)
    gpu.set(memory=f"{8 * GIB} {GIB}", utilisation="37", temperature="61")
    return gpu


def test_a_reading_has_memory_utilisation_and_temperature(gpu: FakeGpu, reader: Reader) -> None:
    reading = reader.look()["reading"]
    assert (reading["total"], reading["used"]) == (8 * GIB, GIB)
    assert (reading["utilisation"], reading["temperature"]) == (37, 61)
    assert (reading["own"], reading["others"]) == (None, [])
    gpu.set(memory=f"{8 * GIB} {2 * GIB}", temperature="64")
    reading = reader.look()["reading"]
    assert (reading["used"], reading["temperature"]) == (2 * GIB, 64)


def test_processes_are_told_apart_from_our_own(gpu: FakeGpu, reader: Reader) -> None:
    gpu.set(
        f"compute {reader.pid} {GIB} /usr/bin/python3",
        f"compute 4000001 {2 * GIB} /opt/train --secret=1",
    )
    reading = reader.look()["reading"]
    assert reading["own"] == GIB
    assert reading["others"] == [{"pid": 4000001, "name": "train", "bytes": 2 * GIB}]


def test_a_process_that_computes_and_draws_counts_once(gpu: FakeGpu, reader: Reader) -> None:
    gpu.set("compute 4000001 500 game", "graphics 4000001 700 game", "graphics 4000002 30 Xorg")
    reading = reader.look()["reading"]
    assert [(one["name"], one["bytes"]) for one in reading["others"]] == [
        ("game", 700),
        ("Xorg", 30),
    ]


def test_a_driver_mode_without_bytes_per_process_still_names_the_processes(
    gpu: FakeGpu, reader: Reader
) -> None:
    gpu.set("compute 4000001 -1 game")
    reading = reader.look()["reading"]
    assert reading["others"] == [{"pid": 4000001, "name": "game", "bytes": None}]


def test_what_a_driver_does_not_support_is_left_out(gpu: FakeGpu, reader: Reader) -> None:
    gpu.set(
        f"error nvmlDeviceGetComputeRunningProcesses_v3 {NOT_SUPPORTED}",
        f"error nvmlDeviceGetTemperature {NOT_SUPPORTED}",
        f"error nvmlDeviceGetUtilizationRates {NOT_SUPPORTED}",
    )
    reading = reader.look()["reading"]
    assert (reading["others"], reading["temperature"], reading["utilisation"]) == (None,) * 3
    assert reading["used"] == GIB


def test_a_part_of_a_divided_gpu_is_not_judged_by_the_whole(gpu: FakeGpu, reader: Reader) -> None:
    gpu.set("compute 4000001 500 game", mig="1")
    reading = reader.look()["reading"]
    assert (reading["used"], reading["others"]) == (None, None)
    assert reading["temperature"] == 61


def test_a_gpu_that_is_lost_is_no_reading_until_it_is_back(gpu: FakeGpu, reader: Reader) -> None:
    assert reader.look()["problem"] is None
    gpu.set(f"error nvmlDeviceGetMemoryInfo {LOST}")
    assert reader.look() == {"reading": None, "problem": "GPU is lost"}
    gpu.set()
    assert reader.look()["reading"]["used"] == GIB


def test_a_driver_that_is_not_loaded_is_no_reading(gpu: FakeGpu, reader: Reader) -> None:
    gpu.set(f"error nvmlInitWithFlags {NO_DRIVER}")
    assert reader.look("0000:03:00.0") == {"reading": None, "problem": "Driver Not Loaded"}


@pytest.mark.usefixtures("gpu")
def test_a_device_that_nvml_does_not_know_is_no_reading(reader: Reader) -> None:
    assert reader.look("0000:02:00.0")["reading"] is None
    told = reader.look("")
    assert told == {"reading": None, "problem": "the device has no PCI bus id"}


def test_without_a_driver_there_is_no_reading() -> None:
    nvml = Nvml(BUS_ID)
    assert nvml.read() is None
    assert nvml.problem

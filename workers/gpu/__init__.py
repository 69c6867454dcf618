"""The GPU worker: one process per device, which holds the engine and admits what fits."""

from lmx.workers.gpu.process import gpu_process

__all__ = ["gpu_process"]

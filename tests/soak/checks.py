"""What may not be left over. Pure: each check returns what is wrong, in one line each."""

from __future__ import annotations

from collections.abc import Sequence
from statistics import median

from lmx.engine import Snapshot

MIB = 2**20
_REST_ALLOWANCE = 48 * MIB  # of an engine's life on the memory of its process, once warm
_TREND_ALLOWANCE = 16 * MIB


def always(snapshot: Snapshot) -> list[str]:
    """True at every moment."""
    faults = []
    if snapshot["used"] > snapshot["cap"]:
        faults.append(f"booked {snapshot['used']} over the cap of {snapshot['cap']}")
    entries = sum(entry["bytes"] for entry in snapshot["ledger"])
    if entries != snapshot["used"]:
        faults.append(f"the ledger's entries are {entries}, its sum {snapshot['used']}")
    host = snapshot["host"]
    if host["used"] > host["cap"]:
        faults.append(f"booked {host['used']} of host memory over {host['cap']}")
    return faults


def at_rest(snapshot: Snapshot) -> list[str]:
    """True when all requests have ended and all holds were released."""
    faults = always(snapshot)
    faults += [f"request {request['id']} is still there" for request in snapshot["requests"]]
    faults += [
        f"{context['id']} has {context['active']} active slots"
        for context in snapshot["contexts"]
        if context["active"]
    ]
    residents = {model["id"] for model in snapshot["models"]}
    residents |= {context["id"] for context in snapshot["contexts"]}
    faults += [
        f"{entry['holder']} holds {entry['bytes']} bytes and is no resident"
        for entry in snapshot["ledger"]
        if entry["holder"] not in residents
    ]
    return faults


def spill_folder(files_bytes: int, limit: int) -> list[str]:
    return [f"spill files of {files_bytes} bytes, allowed {limit}"] if files_bytes > limit else []


def same_resources(name: str, before: int, after: int) -> list[str]:
    """Threads and descriptors after an engine was closed."""
    return [f"{after} {name} after an engine was closed, {before} before"] if after > before else []


def memory_trend(rests: Sequence[int]) -> list[str]:
    """Resident bytes of one process after each of its engines was closed."""
    if len(rests) < 3:
        return []
    warm = rests[1:]  # the first engine also brings in code, vocabularies and arenas
    faults = []
    if max(warm) > warm[0] + _REST_ALLOWANCE:
        faults.append(f"memory at rest went from {warm[0]} to {max(warm)} bytes")
    third = len(warm) // 3
    if third >= 3 and median(warm[-third:]) > median(warm[:third]) + _TREND_ALLOWANCE:
        faults.append(f"memory at rest keeps growing: {[value // MIB for value in warm]} MiB")
    return faults

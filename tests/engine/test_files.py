"""A model file is described, or refused in one line; it never takes the process with it."""

import hashlib
import os
import random
import shutil
import sys
from dataclasses import replace
from pathlib import Path

import pytest

from lmx.engine import Engine, EngineError, ModelFileError, estimate, inspect_model, quantize
from tests.engine.conftest import N_CTX, MakeEngine
from tests.support.tiny import write_tiny_model

HEADER = 4 * 2**20  # bytes at the front of the model that hold its metadata


def damaged(model: Path, target: Path, header: bytes) -> Path:
    """A file of the model's size with this header, its weights all zero and not on the disk."""
    target.write_bytes(header)
    os.truncate(target, model.stat().st_size)
    return target


def test_a_good_file_is_described(model: Path) -> None:
    info = inspect_model(model, sha256=True)
    assert (info.arch, info.quantization, info.n_layers) == ("llama", "Q4_1", 30)
    assert (info.n_ctx_train, info.n_vocab, info.n_params) == (8192, 49152, 134_515_008)
    assert info.size_bytes == model.stat().st_size
    assert info.chat_template is not None
    assert "<|im_start|>" in info.chat_template
    assert info.sha256 == hashlib.sha256(model.read_bytes()).hexdigest()


@pytest.mark.parametrize(
    ("content", "complaint"),
    [
        (b"", "is empty"),
        (b"GGUF\x03", "ends after 5 bytes"),
        (b"PK\x03\x04" + b"\0" * 60, "is not a GGUF file"),
        (b"GGUF" + (99).to_bytes(4, "little") + b"\0" * 16, "GGUF version 99"),
        (b"GGUF" + (3).to_bytes(4, "little") + b"\xff" * 16, "cannot be loaded"),
        (b"GGUF" + (3).to_bytes(4, "little") + b"\0" * 16, "cannot be loaded"),
        (b"\0" * 4096, "is not a GGUF file"),
    ],
)
def test_what_is_no_model_is_refused(tmp_path: Path, content: bytes, complaint: str) -> None:
    path = tmp_path / "broken.gguf"
    path.write_bytes(content)
    with pytest.raises(ModelFileError, match=complaint) as refusal:
        inspect_model(path)
    assert "\n" not in str(refusal.value)
    assert str(path) in str(refusal.value)


def test_a_file_that_was_moved_or_touched_is_not_checked_again(
    model: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    info = inspect_model(model)
    monkeypatch.setattr(sys, "executable", "/nowhere/python")  # that would make the check
    moved = tmp_path / "moved.gguf"
    moved.symlink_to(model)
    copy = shutil.copyfile(model, tmp_path / "copy.gguf")
    os.utime(copy, (1, 1))
    assert inspect_model(copy) == replace(info, path=str(copy))
    assert estimate(copy, n_ctx=N_CTX) == estimate(model, n_ctx=N_CTX)
    renamed = copy.rename(tmp_path / "renamed.gguf")
    assert inspect_model(renamed).path == str(renamed)
    assert inspect_model(moved) == info


def test_a_file_that_was_written_over_is_another_whatever_its_time_says(
    tmp_path: Path, make_engine: MakeEngine
) -> None:
    path = write_tiny_model(tmp_path / "model.gguf", "llama", layers=2)
    engine = make_engine()
    before, small = path.stat(), estimate(path, n_ctx=N_CTX)
    assert engine.estimate(path, N_CTX) == small
    larger = write_tiny_model(tmp_path / "other.gguf", "llama", layers=4).read_bytes()
    padding = larger + b"\0" * 4096
    for content in (padding, path.read_bytes().ljust(len(padding), b"\0")):
        path.write_bytes(content)
        os.utime(path, ns=(before.st_atime_ns, before.st_mtime_ns))
        now = estimate(path, n_ctx=N_CTX)
        assert (now.kv_bytes == small.kv_bytes) == (content is not padding)
        assert engine.estimate(path, N_CTX) == now


def test_what_a_file_says_cannot_steer_the_terminal(model: Path, tmp_path: Path) -> None:
    with model.open("rb") as whole:
        header = whole.read(HEADER).replace(b"Smollm2 135M", b"\x1b[2J\r\n135M  ", 1)
    path = damaged(model, tmp_path / "escape.gguf", header)
    assert inspect_model(path).name.startswith("?[2J??135M")


def test_a_truncated_model_is_refused(model: Path, tmp_path: Path) -> None:
    path = tmp_path / "truncated.gguf"
    with model.open("rb") as whole:
        path.write_bytes(whole.read(HEADER))
    with pytest.raises(ModelFileError, match=r"corrupted or incomplete|file bounds"):
        inspect_model(path)


def test_a_missing_file_and_a_folder_are_refused(tmp_path: Path) -> None:
    with pytest.raises(ModelFileError, match="No such file"):
        inspect_model(tmp_path / "nowhere.gguf")
    with pytest.raises(ModelFileError, match="not a regular file"):
        inspect_model(tmp_path)
    with pytest.raises(ModelFileError, match="NUL"):
        inspect_model("a\0b")


@pytest.mark.parametrize("seed", range(8))
def test_random_damage_to_the_header_never_crashes(model: Path, tmp_path: Path, seed: int) -> None:
    chance = random.Random(seed)
    with model.open("rb") as whole:
        header = bytearray(whole.read(HEADER))
    for _ in range(chance.choice([1, 4, 64])):
        header[chance.randrange(8, 4096)] ^= 1 << chance.randrange(8)
    path = damaged(model, tmp_path / "damaged.gguf", bytes(header))
    try:
        info = inspect_model(path)
    except ModelFileError as refusal:
        assert "\n" not in str(refusal)
    else:
        assert info.size_bytes == model.stat().st_size


def test_a_file_that_kills_the_loader_is_an_ordinary_refusal(model: Path, tmp_path: Path) -> None:
    with model.open("rb") as whole:
        header = whole.read(HEADER)
    key = b"llama.attention.head_count"
    at = header.index(key) + len(key)
    assert header[at : at + 4] == (4).to_bytes(4, "little")  # a 32-bit number follows
    header = header[: at + 4] + (0).to_bytes(4, "little") + header[at + 8 :]
    path = damaged(model, tmp_path / "no-heads.gguf", header)
    with pytest.raises(ModelFileError):
        inspect_model(path)


def test_weights_that_compute_nonsense_fail_the_request_only(
    model: Path, tmp_path: Path, make_engine: MakeEngine
) -> None:
    path = tmp_path / "nan.gguf"
    with model.open("rb") as whole:
        header = whole.read(HEADER)
    path.write_bytes(header + b"\xff" * (model.stat().st_size - HEADER))
    engine: Engine = make_engine()
    with pytest.raises(ModelFileError, match="not finite"):
        engine.submit(model=path, prompt="Hello", n_ctx=N_CTX).result()
    assert engine.submit(model=model, prompt="Hello", max_tokens=2, n_ctx=N_CTX).result().text


def test_a_file_replaced_on_disk_is_a_new_model(
    model: Path, larger_model: Path, tmp_path: Path, make_engine: MakeEngine
) -> None:
    path = tmp_path / "model.gguf"
    path.symlink_to(model)
    assert inspect_model(path).quantization == "Q4_1"
    path.unlink()
    path.symlink_to(larger_model)
    assert inspect_model(path).quantization == "Q8_0"


def test_quantising_makes_another_model_or_leaves_nothing(model: Path, tmp_path: Path) -> None:
    target = quantize(model, tmp_path / "small.gguf", "Q4_0", threads=1)
    assert inspect_model(target).quantization == "Q4_0"
    with pytest.raises(EngineError, match="no weight format 'Q99'; use one of F32"):
        quantize(model, tmp_path / "other.gguf", "Q99")
    with pytest.raises(EngineError, match="cannot be quantised"):
        quantize(model, tmp_path / "no" / "such" / "folder.gguf", "Q4_0")
    assert [path.name for path in tmp_path.iterdir()] == ["small.gguf"]

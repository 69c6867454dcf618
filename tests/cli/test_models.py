"""`lmx models`: files are checked and measured before they are registered."""

import random
from pathlib import Path

import pytest

from tests.support.command import Lmx, count_tasks
from tests.support.hands import Hands
from tests.support.models import shipped_model


@pytest.fixture
def registered(lmx: Lmx) -> Lmx:
    """A command whose database has the shipped model as `smol`."""
    assert lmx("models", "add", shipped_model(), "--name", "smol", "--n-ctx", 512).code == 0
    return lmx


def test_add_tells_the_exact_need_before_anything_is_loaded(lmx: Lmx) -> None:
    added = lmx("models", "add", shipped_model(), "--n-ctx", 1024, "--price-out", "0.4", "--json")
    model = added.json
    assert (model["name"], model["n_ctx"]) == ("smollm2-135m-instruct.q4_1", 1024)
    assert model["price_out"] == 400_000_000
    assert model["size_bytes"] == shipped_model().stat().st_size
    need = model["needs"]["1024"]
    assert need["kv"] == 30 * 2 * 3 * 64 * 2 * 1024
    assert need["total"] == need["weights"] + need["kv"] + need["compute"]


def test_a_smaller_cache_for_all_calls_of_a_model_is_measured_as_such(lmx: Lmx) -> None:
    options = ["--name", "smol", "--n-ctx", 512, "--kv-type", "q8_0"]
    added = lmx("models", "add", shipped_model(), *options)
    assert "keys and values kept as q8_0" in added.out
    assert lmx("models", "show", "smol", "--n-ctx", 1024).code == 0
    needs = lmx("models", "list", "--json").json[0]["needs"]
    assert [needs[n]["kv"] for n in ("512", "1024")] == [30 * 2 * 3 * 68 * n for n in (512, 1024)]
    refused = lmx("models", "add", shipped_model(), "--kv-type", "q9")
    assert (refused.code, refused.err.count("\n")) == (2, 1)


def test_show_measures_any_context_length_and_remembers_it(registered: Lmx) -> None:
    shown = registered("models", "show", "smol", "--n-ctx", 2048)
    assert "for a context of 2048 tokens" in shown.out
    needs = registered("models", "list", "--json").json[0]["needs"]
    assert set(needs) == {"512", "2048"}
    assert needs["2048"]["kv"] == 4 * needs["512"]["kv"]


def test_a_cap_that_it_can_never_fit_is_pointed_out(
    lmx: Lmx, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("LMX_VRAM_CAP", "50MiB")
    added = lmx("models", "add", shipped_model(), "--name", "smol", "--n-ctx", 512)
    assert added.code == 0
    assert "calls of smol with 512 tokens will be refused: this can never fit" in added.err
    refused = lmx("enqueue", "hi")
    assert refused.code == 3
    assert "the device's cap is 50 MiB" in refused.err


def test_an_unmeasured_context_length_is_measured_at_submission(
    registered: Lmx, hands: Hands, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("LMX_VRAM_CAP", "160MiB")
    assert registered("enqueue", "hi").code == 0
    assert registered("enqueue", "hi", "--n-ctx", 4096).code == 3
    assert count_tasks(hands) == 1


def test_adding_the_same_file_again_changes_nothing(registered: Lmx) -> None:
    assert registered("models", "add", shipped_model(), "--name", "smol").code == 0
    assert len(registered("models", "list", "--json").json) == 1


def test_remove_forgets_the_model_and_leaves_its_file(registered: Lmx) -> None:
    assert registered("models", "remove", "smol").code == 0
    assert registered("models", "list", "--json").json == []
    assert shipped_model().exists()


def test_a_model_with_calls_under_way_cannot_be_removed(registered: Lmx) -> None:
    registered("enqueue", "hi")
    refused = registered("models", "remove", "smol")
    assert refused.code == 3
    assert "1 calls of the model 'smol' are not finished" in refused.err


def test_a_name_that_stands_for_another_file_is_kept(lmx: Lmx, hands: Hands, model: str) -> None:
    refused = lmx("models", "add", shipped_model(), "--name", model)
    assert refused.code == 3
    assert "is registered already, with a different file" in refused.err
    replaced = lmx("models", "add", shipped_model(), "--name", model, "--replace", "--json")
    assert (replaced.code, list(replaced.json["needs"])) == (0, ["4096"])


@pytest.mark.parametrize(
    ("content", "complaint"),
    [
        (None, "No such file or directory"),
        (b"", "is not a GGUF file"),
        (b"not a model at all, but long enough", "is not a GGUF file"),
        (b"GGUF", "ends after 4 bytes"),
        (b"GGUF" + (99).to_bytes(4, "little") + bytes(64), "GGUF version 99"),
    ],
)
def test_a_file_that_is_no_model_is_refused(
    lmx: Lmx, tmp_path: Path, content: bytes | None, complaint: str
) -> None:
    path = tmp_path / "some.gguf"
    if content is not None:
        path.write_bytes(content)
    refused = lmx("models", "add", path)
    assert (refused.code, refused.out, refused.err.count("\n")) == (2, "", 1)
    assert complaint in refused.err
    assert lmx("models", "list", "--json").json == []


def test_a_corrupted_model_is_refused(lmx: Lmx, tmp_path: Path) -> None:
    whole = shipped_model().read_bytes()
    header = bytearray(whole[:4096])
    for place in random.Random(4).sample(range(24, 4096), 400):
        header[place] ^= 0xFF
    damaged, truncated = tmp_path / "damaged.gguf", tmp_path / "truncated.gguf"
    damaged.write_bytes(bytes(header) + whole[4096:])
    truncated.write_bytes(whole[: len(whole) // 2])
    for path in (damaged, truncated):
        refused = lmx("models", "add", path)
        assert (refused.code, refused.out, refused.err.count("\n")) == (2, "", 1)
        assert str(path) in refused.err


@pytest.mark.parametrize(
    ("options", "complaint"),
    [
        (["--n-ctx", "8"], "the context length is 8"),
        (["--n-ctx", "999999"], "this model takes 32 to 8192 tokens"),
        (["--name", "a b"], "'a b' cannot be a model's name"),
        (["--price-in", "-1"], "is not an amount of dollars"),
    ],
)
def test_options_that_cannot_be_meant_are_refused(
    lmx: Lmx, options: list[str], complaint: str
) -> None:
    refused = lmx("models", "add", shipped_model(), *options)
    assert (refused.code, refused.out, refused.err.count("\n")) == (2, "", 1)
    assert complaint in refused.err


def test_without_the_engine_it_says_how_to_install_it(
    lmx: Lmx, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("lmx.api.inspection.engine_installed", lambda: False)
    refused = lmx("models", "add", shipped_model())
    assert (refused.code, refused.err.count("\n")) == (5, 1)
    assert "pip install 'lmx[local]'" in refused.err

"""Engines and model files for the engine's tests."""

from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from lmx.engine import Engine, Sampling, estimate, tokenize
from lmx.engine.chat_formats import Parser, close_service
from tests.support.models import model_variant, shipped_model

N_CTX = 512  # small contexts keep the tests quick

MakeEngine = Callable[..., Engine]


@pytest.fixture(scope="session")
def model() -> Path:
    return shipped_model()


@pytest.fixture(scope="session")
def larger_model(pytestconfig: pytest.Config) -> Path:
    """The same network in Q8_0: other bytes, other size."""
    cache = pytestconfig.cache
    assert cache is not None
    return model_variant(Path(cache.mkdir("models")), "Q8_0")


@pytest.fixture(scope="session")
def tiny_models(pytestconfig: pytest.Config) -> Path:
    """The folder of the models that `tiny_model` makes."""
    cache = pytestconfig.cache
    assert cache is not None
    return Path(cache.mkdir("models"))


@pytest.fixture(scope="session", autouse=True)
def chat_service() -> Iterator[None]:
    """The process that knows chat templates, running before each test looks at what is open."""
    assert Parser(0, "", "", "none").read("x", partial=False) is not None
    yield
    close_service()


@pytest.fixture
def make_engine() -> Iterator[MakeEngine]:
    """Makes engines on the CPU that are closed after the test.

    One thread each: tests run in parallel, and threads that wait for a core hold each other up.
    """
    engines: list[Engine] = []

    def make(**options: object) -> Engine:
        engine = Engine(device="cpu", threads=1, **options)  # type: ignore[arg-type]
        engines.append(engine)
        return engine

    yield make
    for engine in engines:
        engine.close()


@pytest.fixture
def room_for_one(model: Path, larger_model: Path) -> int:
    """A cap that holds either of the two models with one context, and not both."""
    return max(estimate(path, n_ctx=N_CTX).total_bytes for path in (model, larger_model)) + 2**20


@pytest.fixture(scope="session")
def endless(model: Path) -> Sampling:
    """Sampling that never chooses an end of turn, so that a request runs until it is stopped."""
    ends = [tokenize(model, prompt=text)[0] for text in ("<|im_end|>", "<|endoftext|>")]
    return Sampling(temperature=0, logit_bias={token: float("-inf") for token in ends})

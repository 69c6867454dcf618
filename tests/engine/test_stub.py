"""What the type checker is told of the compiled module is what the module has."""

import ast
from pathlib import Path

from nanobind.stubgen import StubGen  # type: ignore[import-untyped]

from lmx.engine import _core


def test_the_stub_describes_the_compiled_module() -> None:
    generator = StubGen(_core)
    generator.put(_core)
    assert _core.__file__ is not None
    stub = Path(_core.__file__).parent / "_core.pyi"
    assert ast.dump(ast.parse(stub.read_text())) == ast.dump(ast.parse(generator.get()))

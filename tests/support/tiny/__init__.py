"""Tiny model files of many architectures, with random weights from a fixed seed.

A few hundred KB each, made in a moment: `tiny_model(folder, "qwen3")`. They tokenize text, have
a chat template and generate words without sense.
"""

from tests.support.tiny.files import ENCODERS, GENERATORS, KINDS, tiny_model, write_tiny_model

__all__ = ["ENCODERS", "GENERATORS", "KINDS", "tiny_model", "write_tiny_model"]

"""What the engine reaches, beside bare llama.cpp, in one run: `python -m benchmarks.engine`."""

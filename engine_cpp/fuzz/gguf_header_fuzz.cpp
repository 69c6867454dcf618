// Any bytes as a model file: what the library reads, our reader reads too, and to the same end.
#include <cstdint>
#include <cstdlib>
#include <fstream>

#include "../tests/temp_dir.hpp"
#include "gguf.h"
#include "lmx/llama/gguf_header.hpp"

namespace {

void must(bool holds) {
  if (!holds) std::abort();
}

}  // namespace

extern "C" int LLVMFuzzerInitialize(int* /*count*/, char*** /*arguments*/) {
  ggml_log_set([](ggml_log_level, const char*, void*) {}, nullptr);
  return 0;
}

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  static const check::TempDir dir;
  const std::filesystem::path path = dir.path() / "model.gguf";
  std::ofstream(path, std::ios::binary | std::ios::trunc)
      .write(reinterpret_cast<const char*>(data), static_cast<std::streamsize>(size));

  const auto header = lmx::read_gguf_header(path);
  if (header) must(header->bytes <= size);
  gguf_context* read = gguf_init_from_file(path.c_str(), {.no_alloc = true, .ctx = nullptr});
  if (read == nullptr) return 0;
  const std::size_t alignment = gguf_get_n_tensors(read) > 0 ? gguf_get_alignment(read) : 1;
  must(header.has_value());
  must((header->bytes + alignment - 1) / alignment * alignment == gguf_get_data_offset(read));
  must(header->split == (gguf_find_key(read, "split.count") >= 0));
  gguf_free(read);
  return 0;
}

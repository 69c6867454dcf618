// The header of a GGUF file: all that comes before the data of its tensors, and all of it that a
// dry load looks at. Read without the library, so that any bytes may be given to it.
#pragma once

#include <cstdint>
#include <filesystem>
#include <optional>

namespace lmx {

struct GgufHeader {
  std::uint64_t bytes = 0;     // up to the end of the last tensor's description
  std::uint64_t checksum = 0;  // XXH64 of these
  bool split = false;          // other files hold the rest of the model
};

// Nothing when the file cannot be read, is no GGUF file of version 2 or 3, or ends too early.
std::optional<GgufHeader> read_gguf_header(const std::filesystem::path& path);

}  // namespace lmx

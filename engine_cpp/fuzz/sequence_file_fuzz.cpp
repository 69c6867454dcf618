// Any bytes as the file of a saved sequence: refused, or read as something that can be written.
#include <cstdint>
#include <cstdlib>
#include <fstream>
#include <vector>

#include "../tests/temp_dir.hpp"
#include "lmx/sessions/sequence_file.hpp"

using namespace lmx;

namespace {

void must(bool holds) {
  if (!holds) std::abort();
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  static const check::TempDir dir;
  const std::filesystem::path path = dir.path() / "input.kv";
  std::ofstream(path, std::ios::binary | std::ios::trunc)
      .write(reinterpret_cast<const char*>(data), static_cast<std::streamsize>(size));

  const HeaderOrFault read = read_header(path);
  if (!read.header) return 0;
  must(read.header->file_bytes() == size);
  std::vector<std::byte> payload(read.header->payload_bytes);
  must(!read_payload(path, *read.header, payload));

  const std::filesystem::path copy = dir.path() / "copy.kv";
  must(!write_sequence(copy, read.header->label, read.header->last_used, payload));
  const HeaderOrFault again = read_header(copy);
  must(again.header && again.header->label == read.header->label);
  must(again.header->payload_bytes == payload.size());
  return 0;
}

#include "lmx/sessions/sequence_file.hpp"

#include <fstream>
#include <iterator>
#include <vector>

#include "check.hpp"
#include "temp_dir.hpp"

using namespace lmx;
namespace fs = std::filesystem;

namespace {

const SequenceLabel kLabel = {.fingerprint = "model-1",
                              .session = "planner",
                              .tokens = {5, 4, 3, 2, 1},
                              .exact_until = 4,
                              .cost_s = 2.5};

std::vector<std::byte> payload() {
  std::vector<std::byte> bytes(99);
  for (std::size_t i = 0; i < bytes.size(); ++i) bytes[i] = static_cast<std::byte>(i);
  return bytes;
}

std::string content(const fs::path& path) {
  std::ifstream file(path, std::ios::binary);
  return {std::istreambuf_iterator<char>(file), {}};
}

void overwrite(const fs::path& path, const std::string& bytes) {
  std::ofstream(path, std::ios::binary | std::ios::trunc) << bytes;
}

// What reading the whole file finds wrong with it.
std::optional<FileFault> fault_of(const fs::path& path) {
  const HeaderOrFault read = read_header(path);
  if (!read.header) return read.fault;
  std::vector<std::byte> bytes(read.header->payload_bytes);
  return read_payload(path, *read.header, bytes);
}

}  // namespace

TEST("a sequence is read as it was written") {
  const check::TempDir dir;
  const fs::path path = dir.path() / "a.kv";
  CHECK(!write_sequence(path, kLabel, 1234.5, payload()));
  const HeaderOrFault read = read_header(path);
  CHECK(read.header && read.header->label == kLabel && read.header->last_used == 1234.5);
  CHECK(read.header->file_bytes() == fs::file_size(path));
  CHECK(file_bytes(kLabel, payload().size()) == fs::file_size(path));
  std::vector<std::byte> bytes(read.header->payload_bytes);
  CHECK(!read_payload(path, *read.header, bytes) && bytes == payload());
}

TEST("only the owner may read the file, and no unfinished one is left") {
  const check::TempDir dir;
  CHECK(!write_sequence(dir.path() / "a.kv", kLabel, 0, payload()));
  const fs::perms perms = fs::status(dir.path() / "a.kv").permissions();
  CHECK(perms == (fs::perms::owner_read | fs::perms::owner_write));
  CHECK(std::distance(fs::directory_iterator(dir.path()), {}) == 1);
}

TEST("an empty payload and an empty label are a sequence too") {
  const check::TempDir dir;
  CHECK(!write_sequence(dir.path() / "a.kv", {}, 0, {}));
  CHECK(!fault_of(dir.path() / "a.kv"));
}

TEST("a file cut anywhere is torn, and one with more at its end as well") {
  const check::TempDir dir;
  const fs::path path = dir.path() / "a.kv";
  CHECK(!write_sequence(path, kLabel, 0, payload()));
  const std::string whole = content(path);
  for (std::size_t size = 0; size < whole.size(); ++size) {
    overwrite(path, whole.substr(0, size));
    CHECK(read_header(path).fault == FileFault::torn && !read_header(path).header);
  }
  overwrite(path, whole + "x");
  CHECK(fault_of(path) == FileFault::torn);
  overwrite(path, whole);
  CHECK(!fault_of(path));
}

TEST("a file that was cut after its header was read is torn") {
  const check::TempDir dir;
  const fs::path path = dir.path() / "a.kv";
  CHECK(!write_sequence(path, kLabel, 0, payload()));
  const FileHeader header = *read_header(path).header;
  fs::resize_file(path, fs::file_size(path) - 1);
  std::vector<std::byte> bytes(header.payload_bytes);
  CHECK(read_payload(path, header, bytes) == FileFault::torn);
}

TEST("no flipped bit goes unnoticed") {
  const check::TempDir dir;
  const fs::path path = dir.path() / "a.kv";
  CHECK(!write_sequence(path, kLabel, 0, payload()));
  std::string bytes = content(path);
  for (std::size_t bit = 0; bit < bytes.size() * 8; ++bit) {
    const char mask = static_cast<char>(1 << (bit % 8));
    bytes[bit / 8] = static_cast<char>(bytes[bit / 8] ^ mask);
    overwrite(path, bytes);
    CHECK(fault_of(path).has_value());
    bytes[bit / 8] = static_cast<char>(bytes[bit / 8] ^ mask);
  }
}

TEST("another version and another kind of file are foreign") {
  const check::TempDir dir;
  const fs::path path = dir.path() / "a.kv";
  CHECK(!write_sequence(path, kLabel, 0, payload()));
  std::string bytes = content(path);
  bytes[8] = 2;  // the version
  overwrite(path, bytes);
  CHECK(fault_of(path) == FileFault::foreign);
  overwrite(path, std::string(500, 'x'));
  CHECK(fault_of(path) == FileFault::foreign);
}

TEST("what is no file cannot be read") {
  const check::TempDir dir;
  CHECK(fault_of(dir.path() / "none.kv") == FileFault::unreadable);
  CHECK(fault_of(dir.path()) == FileFault::unreadable);
}

TEST("a write that fails says why and leaves nothing") {
  const check::TempDir dir;
  const fs::path path = dir.path() / "missing" / "a.kv";
  const auto failure = write_sequence(path, kLabel, 0, payload());
  CHECK(failure && failure->starts_with("open: "));
  fs::create_directories(dir.path() / "b.kv" / "in the way");
  CHECK(write_sequence(dir.path() / "b.kv", kLabel, 0, payload()).has_value());
  CHECK(!fs::exists(dir.path() / "b.kv.part"));
}

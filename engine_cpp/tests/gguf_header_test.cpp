#include "lmx/llama/gguf_header.hpp"

#include <cstring>
#include <fstream>
#include <string>

#include "check.hpp"
#include "temp_dir.hpp"

using namespace lmx;

namespace {

template <typename Number>
std::string bytes_of(Number number) {
  std::string bytes(sizeof(Number), '\0');
  std::memcpy(bytes.data(), &number, sizeof(Number));
  return bytes;
}

std::string text(const std::string& value) {
  return bytes_of(std::uint64_t{value.size()}) + value;
}

std::string pair_of(const std::string& key, std::uint32_t type, const std::string& value) {
  return text(key) + bytes_of(type) + value;
}

// Of each kind of value one, and one tensor.
std::string header(const std::string& count_key = "a.number") {
  constexpr std::uint32_t kNumber = 4;
  constexpr std::uint32_t kString = 8;
  constexpr std::uint32_t kArray = 9;
  std::string all =
      "GGUF" + bytes_of(std::uint32_t{3}) + bytes_of(std::uint64_t{1}) + bytes_of(std::uint64_t{4});
  all += pair_of(count_key, kNumber, bytes_of(std::uint32_t{7}));
  all += pair_of("a.text", kString, text("sea"));
  all += pair_of("a.texts", kArray,
                 bytes_of(kString) + bytes_of(std::uint64_t{2}) + text("fog") + text(""));
  all += pair_of("a.numbers", kArray,
                 bytes_of(kNumber) + bytes_of(std::uint64_t{3}) + std::string(12, '\1'));
  all += text("weight") + bytes_of(std::uint32_t{2}) + bytes_of(std::uint64_t{8}) +
         bytes_of(std::uint64_t{4}) + bytes_of(std::uint32_t{0}) + bytes_of(std::uint64_t{0});
  return all;
}

std::optional<GgufHeader> read(const std::string& content) {
  static const check::TempDir dir;
  const std::filesystem::path path = dir.path() / "model.gguf";
  std::ofstream(path, std::ios::binary | std::ios::trunc) << content;
  return read_gguf_header(path);
}

}  // namespace

TEST("a header ends with the last tensor's description, whatever lies behind") {
  const std::string all = header();
  const auto one = read(all + std::string(128, 'x'));
  const auto other = read(all + std::string(999, 'y'));
  CHECK(one && one->bytes == all.size() && !one->split);
  CHECK(other && other->checksum == one->checksum);
}

TEST("each byte of a header counts, and one that ends too early is none") {
  const std::string all = header();
  const std::uint64_t sum = read(all)->checksum;
  for (std::size_t at = 0; at < all.size(); ++at) {
    CHECK(!read(all.substr(0, at)));
    std::string damaged = all;
    damaged[at] = static_cast<char>(damaged[at] ^ 1);
    const auto found = read(damaged + std::string(64, '\0'));
    CHECK(!found || found->checksum != sum);
  }
}

TEST("a file that is a part of a model says so") {
  CHECK(read(header("split.count"))->split);
}

TEST("what cannot be read has no header") {
  CHECK(!read_gguf_header("/nowhere/at/all.gguf"));
  CHECK(!read(""));
  CHECK(!read("GGUF" + bytes_of(std::uint32_t{1}) + std::string(64, '\0')));
  CHECK(!read("GGUF" + bytes_of(std::uint32_t{3}) + std::string(16, '\xff')));
}

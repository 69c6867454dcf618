#include "lmx/llama/gguf_header.hpp"

#include <algorithm>
#include <array>
#include <bit>
#include <cstdio>
#include <memory>
#include <span>
#include <string>
#include <vector>

#include "lmx/base/checksum.hpp"

namespace lmx {
namespace {

// https://github.com/ggml-org/ggml/blob/master/docs/gguf.md; files are little endian.
constexpr std::uint32_t kMagic = 0x46554747;
constexpr std::uint32_t kString = 8;
constexpr std::uint32_t kArray = 9;
constexpr std::array<std::uint64_t, 13> kValueBytes = {1, 1, 2, 2, 4, 4, 4, 1, 0, 0, 8, 8, 8};
constexpr std::uint64_t kLongestKey = 65535;
constexpr std::uint32_t kMostDimensions = 4;

struct Closer {
  void operator()(std::FILE* file) const { std::fclose(file); }
};

// What has been read is counted and summed. After a failure nothing more is read.
class Reader {
 public:
  explicit Reader(const std::filesystem::path& path)
      : file_(std::fopen(path.c_str(), "rb")), failed_(!file_), buffer_(std::size_t{1} << 18) {}

  bool failed() const { return failed_; }
  std::uint64_t bytes() const { return bytes_; }
  std::uint64_t checksum() const { return sum_.value(); }
  void fail() { failed_ = true; }

  template <typename Number>
  Number number() {
    std::array<std::byte, sizeof(Number)> bytes{};
    read(bytes);
    return std::bit_cast<Number>(bytes);
  }

  // Empty where it is longer than `most`.
  std::string text(std::uint64_t most) {
    const auto length = number<std::uint64_t>();
    if (length > most) fail();
    std::string text(failed_ ? 0 : length, '\0');
    read(std::as_writable_bytes(std::span(text)));
    return text;
  }

  void skip(std::uint64_t bytes) {
    while (bytes > 0 && !failed_) {
      const std::uint64_t part = std::min<std::uint64_t>(bytes, skipped_.size());
      read(std::span(skipped_).first(part));
      bytes -= part;
    }
  }

 private:
  void read(std::span<std::byte> into) {
    while (!into.empty() && !failed_) {
      if (at_ == end_) refill();
      const std::size_t part = std::min(into.size(), end_ - at_);
      const auto found = std::span(buffer_).subspan(at_, part);
      std::ranges::copy(found, into.begin());
      sum_.add(found);
      at_ += part;
      bytes_ += part;
      into = into.subspan(part);
    }
  }

  void refill() {
    at_ = 0;
    end_ = std::fread(buffer_.data(), 1, buffer_.size(), file_.get());
    if (end_ == 0) fail();
  }

  std::unique_ptr<std::FILE, Closer> file_;
  bool failed_;
  std::vector<std::byte> buffer_;
  std::size_t at_ = 0;
  std::size_t end_ = 0;
  std::array<std::byte, 4096> skipped_{};
  std::uint64_t bytes_ = 0;
  Checksum sum_;
};

void skip_values(Reader& reader, std::uint32_t type, std::uint64_t count) {
  if (type == kString) {
    for (; count > 0 && !reader.failed(); --count) reader.skip(reader.number<std::uint64_t>());
    return;
  }
  const std::uint64_t each = type < kValueBytes.size() ? kValueBytes[type] : 0;
  if (each == 0 || count > UINT64_MAX / each) return reader.fail();
  reader.skip(count * each);
}

void skip_value(Reader& reader) {
  const auto type = reader.number<std::uint32_t>();
  if (type != kArray) return skip_values(reader, type, 1);
  const auto of = reader.number<std::uint32_t>();
  skip_values(reader, of, reader.number<std::uint64_t>());
}

void skip_tensor(Reader& reader) {
  reader.text(kLongestKey);
  const auto dimensions = reader.number<std::uint32_t>();
  if (dimensions > kMostDimensions) return reader.fail();
  reader.skip(std::uint64_t{dimensions} * 8 + 4 + 8);  // sizes, type, offset
}

}  // namespace

std::optional<GgufHeader> read_gguf_header(const std::filesystem::path& path) {
  Reader reader(path);
  if (reader.number<std::uint32_t>() != kMagic) reader.fail();
  const auto version = reader.number<std::uint32_t>();
  if (version != 2 && version != 3) reader.fail();
  auto tensors = reader.number<std::uint64_t>();
  auto values = reader.number<std::uint64_t>();
  GgufHeader header;
  for (; values > 0 && !reader.failed(); --values) {
    // Of how many files; a model that is in one file need not say so.
    header.split |= reader.text(kLongestKey) == "split.count";
    skip_value(reader);
  }
  for (; tensors > 0 && !reader.failed(); --tensors) skip_tensor(reader);
  if (reader.failed()) return std::nullopt;
  header.bytes = reader.bytes();
  header.checksum = reader.checksum();
  return header;
}

}  // namespace lmx

#include "lmx/llama/sequence_state.hpp"

#include <algorithm>
#include <cstring>
#include <limits>

namespace lmx {
namespace {

constexpr std::uint32_t kMaxStreams = 256;
constexpr std::uint32_t kMaxLayers = 4096;
constexpr std::size_t kHead = 8;   // magic, number of the sequence
constexpr std::size_t kCell = 12;  // position, how many sequences (1), which

// Reads forward; once something is missing, everything after it is.
class Reader {
 public:
  explicit Reader(std::span<const std::byte> bytes) : bytes_(bytes) {}

  template <typename T>
  T take() {
    T value{};
    if (skip(sizeof(T))) std::memcpy(&value, bytes_.data() + at_ - sizeof(T), sizeof(T));
    return value;
  }
  bool skip(std::uint64_t n) {
    good_ = good_ && n <= bytes_.size() - at_;
    if (good_) at_ += static_cast<std::size_t>(n);
    return good_;
  }
  bool skip(std::uint64_t rows, std::uint64_t row) {
    constexpr auto kMost = std::numeric_limits<std::uint64_t>::max();
    return row == 0 || rows <= kMost / row ? skip(rows * row) : (good_ = false);
  }
  bool good() const { return good_; }
  std::size_t at() const { return at_; }
  std::size_t left() const { return bytes_.size() - at_; }

 private:
  std::span<const std::byte> bytes_;
  std::size_t at_ = 0;
  bool good_ = true;
};

// Keys or values of one layer, a row for each cell.
void skip_rows(Reader& reader, std::uint32_t cells) {
  reader.take<std::int32_t>();
  const auto row = reader.take<std::uint64_t>();
  reader.skip(cells, row);
}

// Values that lie transposed.
void skip_columns(Reader& reader, std::uint32_t cells) {
  reader.take<std::int32_t>();
  const auto element = reader.take<std::uint32_t>();
  const auto rows = reader.take<std::uint32_t>();
  reader.skip(std::uint64_t{element} * cells, rows);
}

// The cells of one stream, behind their number. `trailing` bytes follow it.
bool skip_stream(Reader& reader, std::uint32_t cells, std::size_t trailing) {
  reader.skip(cells, kCell);
  const auto transposed = reader.take<std::uint32_t>();
  const auto layers = reader.take<std::uint32_t>();
  if (transposed > 1 || layers == 0 || layers > kMaxLayers) return false;
  for (std::uint32_t i = 0; i < layers && reader.good(); ++i) skip_rows(reader, cells);
  if (reader.good() && reader.left() == trailing) return true;  // a cache without values
  for (std::uint32_t i = 0; i < layers && reader.good(); ++i) {
    transposed == 1 ? skip_columns(reader, cells) : skip_rows(reader, cells);
  }
  return reader.good() && reader.left() == trailing;
}

}  // namespace

std::optional<SequenceState> read_state(std::span<const std::byte> bytes) {
  Reader reader(bytes);
  SequenceState state;
  reader.skip(kHead);
  state.streams = reader.take<std::uint32_t>();
  if (!reader.good() || state.streams == 0 || state.streams > kMaxStreams) return std::nullopt;
  std::uint32_t before = 0;
  std::uint32_t cells = 0;
  std::size_t begins = 0;
  for (; cells == 0 && before < state.streams && reader.good(); ++before) {
    begins = reader.at();
    cells = reader.take<std::uint32_t>();
  }
  const std::size_t trailing = (state.streams - before) * sizeof(std::uint32_t);
  if (cells == 0 || !skip_stream(reader, cells, trailing)) return std::nullopt;
  const auto rest = bytes.subspan(reader.at());
  if (std::ranges::any_of(rest, [](std::byte b) { return b != std::byte{0}; })) return std::nullopt;
  state.head = bytes.first(kHead);
  state.body = bytes.subspan(begins, reader.at() - begins);
  return state;
}

std::size_t state_size(const SequenceState& state, std::uint32_t streams) {
  return state.head.size() + sizeof(streams) + state.body.size() +
         (streams - 1) * sizeof(std::uint32_t);
}

void write_state(const SequenceState& state, std::uint32_t streams, std::span<std::byte> into) {
  std::byte* at = std::ranges::copy(state.head, into.data()).out;
  std::memcpy(at, &streams, sizeof(streams));
  at = std::ranges::copy(state.body, at + sizeof(streams)).out;
  std::fill(at, into.data() + into.size(), std::byte{0});
}

}  // namespace lmx

#include "lmx/llama/sequence_state.hpp"

#include <cstring>
#include <vector>

#include "check.hpp"

using namespace lmx;

namespace {

using Data = std::vector<std::byte>;

template <typename T>
void put(Data& data, T value) {
  const auto at = data.size();
  data.resize(at + sizeof(T));
  std::memcpy(data.data() + at, &value, sizeof(T));
}

// A state of `cells` cells in stream `mine` of `streams`, with two layers, as the library writes
// it.
Data state(std::uint32_t streams, std::uint32_t mine, std::uint32_t cells, bool transposed) {
  Data data;
  put(data, std::uint32_t{0xaf143cd8});
  put(data, std::int32_t{7});
  put(data, streams);
  for (std::uint32_t s = 0; s < streams; ++s) {
    put(data, s == mine ? cells : 0U);
    if (s != mine) continue;
    for (std::uint32_t cell = 0; cell < cells; ++cell) {
      put(data, cell);
      put(data, 1U);
      put(data, mine);
    }
    put(data, transposed ? 1U : 0U);
    put(data, 2U);
    for (int layer = 0; layer < 2; ++layer) {
      put(data, std::int32_t{1});
      put(data, std::uint64_t{8});
      for (std::uint32_t cell = 0; cell < cells; ++cell) put(data, std::uint64_t{cell});
    }
    for (int layer = 0; layer < 2; ++layer) {
      put(data, std::int32_t{1});
      if (transposed) {
        put(data, 2U);
        put(data, 4U);
      } else {
        put(data, std::uint64_t{8});
      }
      for (std::uint32_t cell = 0; cell < cells; ++cell) put(data, std::uint64_t{cell});
    }
  }
  return data;
}

}  // namespace

TEST("a state is the same in a context of more or fewer streams") {
  for (const bool transposed : {false, true}) {
    for (std::uint32_t mine = 0; mine < 4; ++mine) {
      const Data four = state(4, mine, 5, transposed);
      const auto read = read_state(four);
      CHECK(read && read->streams == 4);
      if (!read) continue;
      Data one(state_size(*read, 1));
      write_state(*read, 1, one);
      const auto again = read_state(one);
      CHECK(again && again->streams == 1 && again->body.size() == read->body.size());
      Data back(state_size(*again, 4));
      write_state(*again, 4, back);
      CHECK(back.size() == four.size());
      CHECK(read_state(back).has_value());
      if (mine == 0) CHECK(back == four);
    }
  }
}

TEST("what is not a whole plain state is not taken for one") {
  const Data whole = state(4, 1, 5, false);
  for (std::size_t n = 0; n < whole.size(); ++n) {
    CHECK(!read_state(std::span(whole).first(n)));
  }
  Data longer = whole;
  longer.push_back(std::byte{0});
  CHECK(!read_state(longer));
  Data two_caches = whole;
  two_caches.insert(two_caches.end(), whole.begin() + 8, whole.end());
  CHECK(!read_state(two_caches));
  CHECK(!read_state(state(4, 9, 5, false)));
}

TEST("absurd numbers are refused, not followed") {
  Data data = state(2, 0, 3, false);
  for (std::size_t at = 8; at + 8 <= data.size(); at += 4) {
    Data damaged = data;
    std::memset(damaged.data() + at, 0xff, 8);
    read_state(damaged);
  }
  CHECK(read_state(data).has_value());
}

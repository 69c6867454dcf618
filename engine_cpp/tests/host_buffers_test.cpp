#include "lmx/sessions/host_buffers.hpp"

#include <atomic>
#include <memory>

#include "check.hpp"

using namespace lmx;

namespace {

constexpr Bytes kMiB = 1 << 20;

std::shared_ptr<SharedLedger> ledger(Bytes cap) {
  return std::make_shared<SharedLedger>(cap);
}

HostPool pool(const std::shared_ptr<SharedLedger>& books, Bytes max_idle = 64 * kMiB) {
  return HostPool(books, page_allocator(), "pool", max_idle);
}

}  // namespace

TEST("a buffer is booked while it lives, and while it waits for reuse") {
  const auto books = ledger(8 * kMiB);
  HostPool buffers = pool(books);
  {
    const auto buffer = buffers.take(3 * kMiB);
    CHECK(buffer && buffer->size() == 3 * kMiB && buffer->capacity() == 3 * kMiB);
    CHECK(books->now().held("pool") == 3 * kMiB && buffers.idle() == 0);
  }
  CHECK(books->now().held("pool") == 3 * kMiB && buffers.idle() == 3 * kMiB);
  buffers.trim(0);
  CHECK(books->now().used() == 0 && buffers.booked() == 0);
}

TEST("a buffer that came back is used again for the same size") {
  const auto books = ledger(8 * kMiB);
  HostPool buffers = pool(books);
  const std::byte* first = buffers.take(kMiB)->data();
  CHECK(buffers.take(kMiB)->data() == first);
}

TEST("no more is allocated than the ledger allows, and idle buffers make room") {
  const auto books = ledger(4 * kMiB);
  HostPool buffers = pool(books);
  {
    const auto idle = buffers.take(3 * kMiB);
  }
  const auto other = buffers.take(2 * kMiB);
  CHECK(other && buffers.idle() == 0);
  CHECK(!buffers.take(3 * kMiB));
  CHECK(books->now().used() == 2 * kMiB);
}

TEST("what would be too much to keep idle is freed") {
  const auto books = ledger(64 * kMiB);
  HostPool buffers = pool(books, 2 * kMiB);
  {
    const auto a = buffers.take(2 * kMiB);
    const auto b = buffers.take(2 * kMiB);
  }
  CHECK(buffers.idle() == 2 * kMiB && books->now().used() == 2 * kMiB);
}

TEST("an allocator that has nothing leaves nothing booked") {
  const auto books = ledger(64 * kMiB);
  const HostAllocator none = {[](Bytes) -> void* { return nullptr; }, [](void*, Bytes) {}};
  HostPool buffers(books, none, "pool", 0);
  CHECK(!buffers.take(kMiB));
  CHECK(books->now().used() == 0 && buffers.booked() == 0);
}

TEST("a buffer may outlive its pool") {
  const auto books = ledger(64 * kMiB);
  std::optional<HostBuffer> buffer;
  {
    HostPool buffers = pool(books, 0);
    buffer = buffers.take(kMiB);
  }
  buffer->data()[kMiB - 1] = std::byte{1};
  CHECK(books->now().used() == kMiB);
  buffer.reset();
  CHECK(books->now().used() == 0);
}

TEST("capacities are at most an eighth above what was asked for") {
  for (Bytes bytes = 4096; bytes < 40 * kMiB; bytes += bytes / 7 + 1) {
    const Bytes capacity = HostPool::capacity_for(bytes);
    CHECK(capacity >= bytes && capacity <= bytes + std::max<Bytes>(bytes / 8, 4095));
  }
  CHECK(HostPool::capacity_for(0) == 4096);
  CHECK(HostPool::capacity_for(kMaxBytes) == kMaxBytes);
}

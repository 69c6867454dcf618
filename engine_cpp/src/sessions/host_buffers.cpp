#include "lmx/sessions/host_buffers.hpp"

#include <sys/mman.h>

#include <algorithm>
#include <bit>
#include <cassert>
#include <map>
#include <mutex>
#include <utility>

namespace lmx {

struct HostPoolState {
  std::shared_ptr<SharedLedger> ledger;
  HostAllocator allocator;
  std::string holder;
  Bytes max_idle = 0;

  mutable std::mutex mutex;
  std::multimap<Bytes, std::byte*> idle;  // by capacity
  Bytes idle_bytes = 0;
  Bytes booked = 0;

  ~HostPoolState() { free_idle(0); }

  // Without the mutex: unmapping is slow.
  void free_now(std::byte* data, Bytes capacity) {
    allocator.free(data, capacity);
    ledger->give_back(holder, Kind::kv, capacity);
    const std::lock_guard lock(mutex);
    booked -= capacity;
  }

  // The largest idle buffer, taken out; null when at most `keep` bytes are idle.
  std::pair<Bytes, std::byte*> pop_idle(Bytes keep) {
    const std::lock_guard lock(mutex);
    if (idle.empty() || idle_bytes <= keep) return {0, nullptr};
    const auto largest = std::prev(idle.end());
    const auto popped = *largest;
    idle.erase(largest);
    idle_bytes -= popped.first;
    return popped;
  }

  void free_idle(Bytes keep) {
    for (auto [capacity, data] = pop_idle(keep); data != nullptr;
         std::tie(capacity, data) = pop_idle(keep)) {
      free_now(data, capacity);
    }
  }

  void put_back(std::byte* data, Bytes capacity) {
    {
      const std::lock_guard lock(mutex);
      if (idle_bytes + capacity <= max_idle) {
        idle.emplace(capacity, data);
        idle_bytes += capacity;
        return;
      }
    }
    free_now(data, capacity);
  }

  std::byte* take_idle(Bytes capacity) {
    const std::lock_guard lock(mutex);
    const auto found = idle.find(capacity);
    if (found == idle.end()) return nullptr;
    std::byte* data = found->second;
    idle.erase(found);
    idle_bytes -= capacity;
    return data;
  }

  // Books it, at the price of idle buffers if need be.
  bool reserve(Bytes capacity) {
    const Claim claim{holder, Kind::kv, capacity};
    while (ledger->reserve(claim)) {
      const auto [freed, data] = pop_idle(0);
      if (data == nullptr) return false;
      free_now(data, freed);
    }
    const std::lock_guard lock(mutex);
    booked += capacity;
    return true;
  }

  std::byte* make(Bytes capacity) {
    if (!reserve(capacity)) return nullptr;
    void* data = allocator.allocate(capacity);
    if (data != nullptr) return static_cast<std::byte*>(data);
    ledger->give_back(holder, Kind::kv, capacity);
    const std::lock_guard lock(mutex);
    booked -= capacity;
    return nullptr;
  }
};

HostBuffer::HostBuffer(std::shared_ptr<HostPoolState> pool, std::byte* data, Bytes size,
                       Bytes capacity)
    : pool_(std::move(pool)), data_(data), size_(size), capacity_(capacity) {}

HostBuffer::HostBuffer(HostBuffer&& other) noexcept
    : pool_(std::move(other.pool_)),
      data_(std::exchange(other.data_, nullptr)),
      size_(std::exchange(other.size_, 0)),
      capacity_(std::exchange(other.capacity_, 0)) {}

HostBuffer& HostBuffer::operator=(HostBuffer&& other) noexcept {
  HostBuffer old(std::move(*this));
  pool_ = std::move(other.pool_);
  data_ = std::exchange(other.data_, nullptr);
  size_ = std::exchange(other.size_, 0);
  capacity_ = std::exchange(other.capacity_, 0);
  return *this;
}

HostBuffer::~HostBuffer() {
  if (data_ != nullptr) pool_->put_back(data_, capacity_);
}

void HostBuffer::shrink(Bytes size) {
  assert(size <= size_);
  size_ = size;
}

HostPool::HostPool(std::shared_ptr<SharedLedger> ledger, HostAllocator allocator,
                   std::string holder, Bytes max_idle)
    : state_(std::make_shared<HostPoolState>()) {
  state_->ledger = std::move(ledger);
  state_->allocator = std::move(allocator);
  state_->holder = std::move(holder);
  state_->max_idle = max_idle;
}

std::optional<HostBuffer> HostPool::take(Bytes bytes) {
  const Bytes capacity = capacity_for(bytes);
  std::byte* data = state_->take_idle(capacity);
  if (data == nullptr) data = state_->make(capacity);
  if (data == nullptr) return std::nullopt;
  return HostBuffer(state_, data, bytes, capacity);
}

void HostPool::trim(Bytes keep) {
  state_->free_idle(keep);
}

Bytes HostPool::booked() const {
  const std::lock_guard lock(state_->mutex);
  return state_->booked;
}

Bytes HostPool::idle() const {
  const std::lock_guard lock(state_->mutex);
  return state_->idle_bytes;
}

Bytes HostPool::capacity_for(Bytes bytes) {
  constexpr Bytes kPage = 4096;
  if (bytes <= kPage) return kPage;
  if (bytes > kMaxBytes / 2) return kMaxBytes;
  const Bytes step = std::max(kPage, std::bit_floor(bytes) / 8);
  return (bytes + step - 1) / step * step;
}

HostAllocator page_allocator() {
  const auto allocate = [](Bytes bytes) -> void* {
    void* data = mmap(nullptr, bytes, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    if (data == MAP_FAILED) return nullptr;
#ifdef MADV_HUGEPAGE
    madvise(data, bytes, MADV_HUGEPAGE);
#endif
    constexpr Bytes kPage = 4096;
    auto* pages = static_cast<volatile char*>(data);
    for (Bytes at = 0; at < bytes; at += kPage) pages[at] = 0;
    return data;
  };
  return {allocate, [](void* data, Bytes bytes) { munmap(data, bytes); }};
}

}  // namespace lmx

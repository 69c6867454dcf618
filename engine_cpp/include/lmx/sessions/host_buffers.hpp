// Host memory for saved sequences: booked before it is allocated, touched once, used again.
//
// The first write to fresh memory costs a page fault for each page, which made a copy eight times
// slower than memcpy. So buffers are touched when they are made, and go back to a pool.
#pragma once

#include <cstddef>
#include <functional>
#include <memory>
#include <optional>
#include <span>
#include <string>

#include "lmx/base/bytes.hpp"
#include "lmx/memory/shared_ledger.hpp"

namespace lmx {

// Where the memory comes from: pages, or pinned memory of a GPU. Both members may be called by any
// thread.
struct HostAllocator {
  std::function<void*(Bytes)> allocate;  // null when there is none; the memory has been touched
  std::function<void(void*, Bytes)> free;
};

// Pages of the operating system, touched, in huge pages where it has them.
HostAllocator page_allocator();

struct HostPoolState;

// Move-only. Goes back to its pool at the end of its life, which may be after that of the store.
class HostBuffer {
 public:
  HostBuffer() = default;
  HostBuffer(HostBuffer&& other) noexcept;
  HostBuffer& operator=(HostBuffer&& other) noexcept;
  ~HostBuffer();

  std::byte* data() { return data_; }
  const std::byte* data() const { return data_; }
  Bytes size() const { return size_; }
  Bytes capacity() const { return capacity_; }  // what is booked
  std::span<const std::byte> view() const { return {data_, static_cast<std::size_t>(size_)}; }
  std::span<std::byte> view() { return {data_, static_cast<std::size_t>(size_)}; }

  // For a state that turned out smaller than its estimate. Never grows.
  void shrink(Bytes size);

 private:
  friend class HostPool;
  HostBuffer(std::shared_ptr<HostPoolState> pool, std::byte* data, Bytes size, Bytes capacity);

  std::shared_ptr<HostPoolState> pool_;
  std::byte* data_ = nullptr;
  Bytes size_ = 0;
  Bytes capacity_ = 0;
};

// All members are thread-safe.
class HostPool {
 public:
  // Books under `holder` as Kind::kv. At most `max_idle` bytes wait for reuse; more is freed.
  HostPool(std::shared_ptr<SharedLedger> ledger, HostAllocator allocator, std::string holder,
           Bytes max_idle);

  // A buffer of this size, its content undefined; idle buffers of other sizes are freed for it if
  // that is what it takes. Nothing when the ledger or the allocator refuses.
  std::optional<HostBuffer> take(Bytes bytes);

  // Frees idle buffers, largest first, until at most `keep` bytes of them are left.
  void trim(Bytes keep);

  Bytes booked() const;  // idle ones included
  Bytes idle() const;

  // What a buffer of this size is booked at: up to an eighth more, so that sizes repeat.
  static Bytes capacity_for(Bytes bytes);

 private:
  std::shared_ptr<HostPoolState> state_;
};

}  // namespace lmx

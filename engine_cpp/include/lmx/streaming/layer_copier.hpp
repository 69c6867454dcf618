// Brings the weights of a layer from host memory into its slot.
#pragma once

#include <memory>

#include "lmx/streaming/weight_slots.hpp"

namespace lmx {

// For tests and benchmarks.
struct CopyOptions {
  double bytes_per_s = 0;  // 0: as fast as it goes; else a stand-in for the bus to a GPU (CPU only)
  bool poison = false;     // fill a slot with 0xFF before each copy, so that stale reads show (CPU)
};

class LayerCopier {
 public:
  virtual ~LayerCopier() = default;

  // Returns when the layer is there. Called by one thread at a time.
  virtual void copy(std::span<const StreamedTensor> layer, std::span<const BufferHandle> slot) = 0;
};

// On a GPU the copies go through a stream of their own beside the computation's.
std::unique_ptr<LayerCopier> make_copier(const Device& device, const CopyOptions& options);

}  // namespace lmx

// The devices that the library has backends for, by the names that users call them.
#pragma once

#include <optional>
#include <string>

#include "ggml-backend.h"
#include "lmx/base/bytes.hpp"

namespace lmx {

// Loads the library's backends, the first time that it is called.
void start_backends();

// One device that an engine runs on.
struct Device {
  ggml_backend_dev_t handle = nullptr;
  std::string name;  // "cpu", "cuda:0"
  bool is_cpu = true;

  Bytes total() const;
  Bytes free() const;
  std::string description() const;  // "NVIDIA GeForce RTX 3070"
  std::string pci_bus_id() const;   // "0000:01:00.0", or empty

  // What the driver says is in use, by everybody; none on a CPU.
  std::optional<Bytes> in_use() const;
};

// "cpu", "auto" (the first GPU, or the CPU) or a name such as "cuda:0". Throws InvalidRequest,
// naming the devices there are.
Device resolve_device(const std::string& wanted);

}  // namespace lmx

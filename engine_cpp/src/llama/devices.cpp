#include "lmx/llama/devices.hpp"

#include <algorithm>
#include <cctype>
#include <fstream>
#include <mutex>
#include <vector>

#include "llama.h"
#include "lmx/base/errors.hpp"
#include "lmx/base/log.hpp"

namespace lmx {
namespace {

// "CUDA0" of ggml is "cuda:0" to a user.
std::string device_name(ggml_backend_dev_t device) {
  std::string name = ggml_backend_dev_name(device);
  std::ranges::transform(name, name.begin(), [](unsigned char c) { return std::tolower(c); });
  const auto digit = name.find_first_of("0123456789");
  if (digit == std::string::npos || digit == 0) return name;
  return name.substr(0, digit) + ":" + name.substr(digit);
}

std::vector<Device> all_devices() {
  start_backends();
  std::vector<Device> devices;
  for (std::size_t i = 0; i < ggml_backend_dev_count(); ++i) {
    ggml_backend_dev_t device = ggml_backend_dev_get(i);
    const auto type = ggml_backend_dev_type(device);
    if (type == GGML_BACKEND_DEVICE_TYPE_CPU) devices.push_back({device, "cpu", true});
    if (type == GGML_BACKEND_DEVICE_TYPE_GPU || type == GGML_BACKEND_DEVICE_TYPE_IGPU) {
      devices.push_back({device, device_name(device), false});
    }
  }
  return devices;
}

// What a container may use of the machine's memory (cgroup v2); no limit where there is none.
Bytes container_limit() {
  std::ifstream file("/sys/fs/cgroup/memory.max");
  Bytes limit = 0;
  return file >> limit ? limit : kMaxBytes;  // "max" is not a number
}

}  // namespace

void start_backends() {
  static std::once_flag started;
  std::call_once(started, [] {
    capture_logs();
    llama_backend_init();
    ggml_backend_load_all();
  });
}

Bytes Device::total() const {
  std::size_t free_bytes = 0;
  std::size_t total_bytes = 0;
  ggml_backend_dev_memory(handle, &free_bytes, &total_bytes);
  return is_cpu ? std::min<Bytes>(total_bytes, container_limit()) : total_bytes;
}

Bytes Device::free() const {
  std::size_t free_bytes = 0;
  std::size_t total_bytes = 0;
  ggml_backend_dev_memory(handle, &free_bytes, &total_bytes);
  return free_bytes;
}

std::string Device::description() const {
  return ggml_backend_dev_description(handle);
}

std::string Device::pci_bus_id() const {
  ggml_backend_dev_props props{};
  ggml_backend_dev_get_props(handle, &props);
  return props.device_id == nullptr ? "" : props.device_id;
}

std::optional<Bytes> Device::in_use() const {
  if (is_cpu) return std::nullopt;
  return sub_floor(total(), free());
}

Device resolve_device(const std::string& wanted) {
  const std::vector<Device> devices = all_devices();
  if (wanted == "auto") {
    const auto gpu = std::ranges::find(devices, false, &Device::is_cpu);
    return gpu != devices.end() ? *gpu : resolve_device("cpu");
  }
  const auto found = std::ranges::find(devices, wanted, &Device::name);
  if (found != devices.end()) return *found;
  std::string names = "auto";
  for (const Device& device : devices) names += ", " + device.name;
  throw InvalidRequest("there is no device '" + wanted + "' here; use one of " + names);
}

}  // namespace lmx

// The models whose weights are on the device: loaded once, shared by all their contexts, kept
// until the scheduler evicts them.
#pragma once

#include <functional>
#include <map>
#include <memory>
#include <optional>
#include <set>
#include <string>

#include "lmx/memory/estimator.hpp"
#include "lmx/running/request.hpp"
#include "lmx/streaming/weight_streamer.hpp"

namespace lmx {

// How a model is to be loaded when not all of its layers can stay on the device.
struct Streaming {
  std::shared_ptr<const ModelLayers> layers;
  StreamPlan plan;
  CopyOptions copies;
};

struct ResidentModel {
  std::string id;
  FileIdentity file;
  ModelHandle handle;
  std::unique_ptr<WeightStreamer> streamer;     // null when all layers are resident
  std::shared_ptr<const ModelLayers> layers;    // of the streamer's
  StreamCounters accounted;                     // of the streamer's, what the totals have already
  std::optional<Clock::time_point> room_since;  // there is room for much more of its layers
  double load_s = 0;
  Clock::time_point last_used;

  // For each context that is made upon the model.
  ContextCallbacks callbacks(ggml_abort_callback abort, void* abort_data) const;

  // llama_decode with the weights where they belong; its status. Throws Error when they could not
  // be brought there.
  std::int32_t decode(llama_context* context, const llama_batch& batch) const;
};

// Not thread-safe; the references are counted by shared_ptr, the store's own among them.
class ModelStore {
 public:
  std::shared_ptr<ResidentModel> find(const std::string& id) const;

  // Reads the weights. Throws ModelFileError, also when the file is not the one that was inspected.
  static std::shared_ptr<ResidentModel> load(const std::string& id, const FileIdentity& file,
                                             const Device& device,
                                             const std::optional<Streaming>& streaming,
                                             const std::function<bool()>& keep_going);

  void add(std::shared_ptr<ResidentModel> model);
  void evict(const std::string& id);

  // Contexts that share the weights.
  long references(const std::string& id) const;

  // A pin outlives eviction and reloading: it is a wish about the file.
  void pin(const std::string& path, bool pinned);
  bool pinned(const ResidentModel& model) const { return pinned_.contains(model.file.path); }

  const std::map<std::string, std::shared_ptr<ResidentModel>>& all() const { return models_; }

 private:
  std::map<std::string, std::shared_ptr<ResidentModel>> models_;
  std::set<std::string> pinned_;
};

}  // namespace lmx

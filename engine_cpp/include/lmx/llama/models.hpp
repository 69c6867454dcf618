// The models whose weights are on the device: loaded once, shared by all their contexts, kept
// until the scheduler evicts them.
#pragma once

#include <functional>
#include <map>
#include <memory>
#include <set>
#include <string>

#include "lmx/memory/estimator.hpp"
#include "lmx/running/request.hpp"

namespace lmx {

// What whoever brings a model's weights to the device asks of the contexts made upon it: to see the
// nodes of their graphs, and to be called before each decode, on the scheduler's thread.
struct DecodeHooks {
  ggml_backend_sched_eval_callback on_node = nullptr;
  void* data = nullptr;
  std::function<void()> before_decode;
};

struct ResidentModel {
  std::string id;
  FileIdentity file;
  ModelHandle handle;
  DecodeHooks hooks;
  double load_s = 0;
  Clock::time_point last_used;
};

// Not thread-safe; the references are counted by shared_ptr, the store's own among them.
class ModelStore {
 public:
  std::shared_ptr<ResidentModel> find(const std::string& id) const;

  // Reads the weights. Throws ModelFileError, also when the file is not the one that was inspected.
  static std::shared_ptr<ResidentModel> load(const std::string& id, const FileIdentity& file,
                                             const Device& device,
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

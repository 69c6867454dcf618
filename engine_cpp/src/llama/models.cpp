#include "lmx/llama/models.hpp"

#include "lmx/base/errors.hpp"
#include "lmx/llama/huge_pages.hpp"

namespace lmx {

ContextCallbacks ResidentModel::callbacks(ggml_abort_callback abort, void* abort_data) const {
  ContextCallbacks callbacks{.abort = abort, .abort_data = abort_data};
  if (streamer) streamer->attach(callbacks);
  return callbacks;
}

std::int32_t ResidentModel::decode(llama_context* context, const llama_batch& batch) const {
  return streamer ? streamer->decode(context, batch) : llama_decode(context, batch);
}

std::shared_ptr<ResidentModel> ModelStore::find(const std::string& id) const {
  const auto found = models_.find(id);
  return found == models_.end() ? nullptr : found->second;
}

std::shared_ptr<ResidentModel> ModelStore::load(const std::string& id, const FileIdentity& file,
                                                const Device& device,
                                                const std::optional<Streaming>& streaming,
                                                const std::function<bool()>& keep_going) {
  if (identify(file.path) != file) {
    throw ModelFileError(file.path + ": changed on disk since it was inspected; submit again");
  }
  const auto began = Clock::now();
  auto model = std::make_shared<ResidentModel>();
  model->id = id;
  model->file = file;
  std::vector<std::string> in_host_memory;
  if (streaming) in_host_memory = host_patterns(streaming->layers->map, streaming->plan, device);
  model->handle = load_model(file.path, device, LoadMode::real, keep_going, in_host_memory);
  if (device.is_cpu) use_huge_pages(model->handle.get());
  if (streaming && streaming->plan.slots > 0) {
    model->layers = streaming->layers;
    model->streamer = std::make_unique<WeightStreamer>(
        model->handle.get(), device, streaming->layers->map, streaming->plan, streaming->copies);
  }
  model->last_used = Clock::now();
  model->load_s = seconds_between(began, model->last_used);
  return model;
}

void ModelStore::add(std::shared_ptr<ResidentModel> model) {
  models_[model->id] = std::move(model);
}

void ModelStore::evict(const std::string& id) {
  models_.erase(id);
}

long ModelStore::references(const std::string& id) const {
  const auto found = models_.find(id);
  return found == models_.end() ? 0 : found->second.use_count() - 1;
}

void ModelStore::pin(const std::string& path, bool pinned) {
  if (pinned) {
    pinned_.insert(path);
  } else {
    pinned_.erase(path);
  }
}

}  // namespace lmx

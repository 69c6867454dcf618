#include "lmx/streaming/stream_policy.hpp"

#include <algorithm>
#include <cmath>
#include <functional>
#include <numeric>

#include "lmx/base/errors.hpp"

namespace lmx {
namespace {

// Resident layers that the policy allows. At least one layer is streamed.
std::uint32_t most_resident(const LayerSizes& sizes, const StreamPolicy& policy) {
  const auto all = static_cast<std::uint32_t>(sizes.layers.size());
  return std::min(policy.resident_layers.value_or(all), all - 1);
}

// The plan with the most resident layers that the policy and the room allow.
std::optional<StreamPlan> best_plan(const LayerSizes& sizes, const StreamPolicy& policy,
                                    Bytes room) {
  for (auto resident = most_resident(sizes, policy);; --resident) {
    StreamPlan plan = plan_streaming(sizes, resident, policy.slots);
    if (plan.device_bytes() <= room) return plan;
    const bool fixed = policy.mode == StreamingMode::always && policy.resident_layers;
    if (resident == 0 || fixed) return std::nullopt;
  }
}

// Bytes streamed for each sequence, from its first token to its last.
double cost(const StreamedChoice& choice, const StreamDemand& demand) {
  const ContextChoice& context = choice.context;
  const auto served = static_cast<double>(std::min(context.n_seq, demand.sequences));
  const double batches = std::ceil(static_cast<double>(demand.prompt) / context.n_batch);
  const double passes = batches + demand.completion / served;
  return static_cast<double>(choice.plan.host_bytes) * passes;
}

}  // namespace

StreamingMode streaming_mode(const std::string& name) {
  if (name == "auto") return StreamingMode::automatic;
  if (name == "off") return StreamingMode::off;
  if (name == "always") return StreamingMode::always;
  throw InvalidRequest("streaming is '" + name + "' but must be one of auto, off, always");
}

std::optional<StreamNeeds> stream_needs(const LayerSizes& sizes, const StreamPolicy& policy) {
  if (policy.mode == StreamingMode::off || !sizes.possible()) return std::nullopt;
  StreamNeeds needs{.fixed_bytes = sizes.fixed,
                    .layer_bytes = sizes.layers,
                    .slot_bytes = sizes.slot,
                    .slots = policy.slots,
                    .max_layers = most_resident(sizes, policy),
                    .forced = policy.mode == StreamingMode::always};
  // Which layers reside depends on their number: the largest ones are an upper bound of any.
  std::ranges::sort(needs.layer_bytes, std::greater());
  const bool exactly = needs.forced && policy.resident_layers;
  if (exactly) needs.min_layers = needs.max_layers;
  needs.host_bytes = plan_streaming(sizes, needs.min_layers, policy.slots).host_bytes;
  return needs;
}

std::vector<StreamedChoice> streamed_choices(const LayerSizes& sizes, const StreamPolicy& policy,
                                             const std::vector<ContextChoice>& contexts,
                                             const StreamDemand& demand, Bytes room,
                                             Bytes host_room) {
  std::vector<StreamedChoice> choices;
  for (const ContextChoice& context : contexts) {
    if (context.bytes > room) continue;
    auto plan = best_plan(sizes, policy, room - context.bytes);
    if (plan && plan->host_bytes <= host_room) choices.push_back({context, std::move(*plan)});
  }
  std::ranges::stable_sort(choices, [&](const StreamedChoice& a, const StreamedChoice& b) {
    return cost(a, demand) < cost(b, demand);
  });
  return choices;
}

Bytes streamed_within(const LayerSizes& sizes, const StreamPolicy& policy, Bytes room,
                      Bytes otherwise) {
  if (policy.mode == StreamingMode::automatic && sizes.whole() <= room) return 0;
  const auto plan = best_plan(sizes, policy, room);
  return plan ? plan->host_bytes : otherwise;
}

}  // namespace lmx

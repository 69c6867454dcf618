#include "graph_use.hpp"

#include <algorithm>

namespace lmx {

GraphUse::GraphUse(ggml_cgraph* graph) {
  const int n = ggml_graph_n_nodes(graph);
  for (std::int32_t i = 0; i < n; ++i) {
    const ggml_tensor* node = ggml_graph_node(graph, i);
    names_.emplace_back(ggml_get_name(node));
    const auto [place, is_new] = places_.emplace(names_.back(), i);
    if (!is_new) place->second = -1;
    for (const ggml_tensor* source : node->src) {
      if (source == nullptr) continue;
      const ggml_tensor* whole = source->view_src != nullptr ? source->view_src : source;
      const auto [use, is_first] = uses_.emplace(whole, Span{i, i});
      if (!is_first) use->second.last = i;
    }
  }
}

std::optional<std::int32_t> GraphUse::first_use(
    const std::vector<std::pair<std::string, ggml_tensor*>>& weights) const {
  std::optional<std::int32_t> first;
  for (const auto& [name, weight] : weights) {
    const auto use = uses_.find(weight);
    if (use != uses_.end() && (!first || use->second.first < *first)) first = use->second.first;
  }
  return first;
}

std::optional<std::int32_t> GraphUse::find(const std::string& name) const {
  const auto place = places_.find(name);
  if (place == places_.end() || place->second < 0) return std::nullopt;
  return place->second;
}

std::string GraphUse::last_node_of(std::uint32_t layer, std::optional<std::int32_t> next) const {
  const std::string suffix = std::string("-").append(std::to_string(layer));
  const auto end = next.value_or(static_cast<std::int32_t>(names_.size()));
  const std::string usual = std::string("l_out").append(suffix);
  if (const auto place = find(usual); place && *place < end) return usual;
  for (std::int32_t i = end - 1; i >= 0; --i) {
    const std::string& name = names_[static_cast<std::size_t>(i)];
    if (name.ends_with(suffix) && find(name)) return name;
  }
  return "";
}

bool GraphUse::uses_within(const ggml_tensor* weight, const std::string& before,
                           const std::string& end) const {
  const auto last = find(end);
  const auto first = before.empty() ? std::optional<std::int32_t>(-1) : find(before);
  if (!first || !last || *first >= *last) return false;
  const auto use = uses_.find(weight);
  if (use == uses_.end()) return true;
  return use->second.first > *first && use->second.last <= *last;
}

}  // namespace lmx

// Which nodes of a graph use which weights. Private to the adapter.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <unordered_map>
#include <utility>
#include <vector>

#include "ggml.h"

namespace lmx {

// A copy: the graph may be gone.
class GraphUse {
 public:
  explicit GraphUse(ggml_cgraph* graph);

  // Index of the first node that uses any of these weights.
  std::optional<std::int32_t> first_use(
      const std::vector<std::pair<std::string, ggml_tensor*>>& weights) const;

  // The name of the node which ends this layer: "l_out-N" in most models, else the last node named
  // "something-N" ahead of the node `next`. A name that several nodes have is none.
  std::string last_node_of(std::uint32_t layer, std::optional<std::int32_t> next) const;

  // Whether the weight is used behind the node `before` (empty: the beginning), not behind the
  // node `end`, and nowhere else. False where there are no such nodes.
  bool uses_within(const ggml_tensor* weight, const std::string& before,
                   const std::string& end) const;

 private:
  struct Span {
    std::int32_t first;
    std::int32_t last;
  };

  std::optional<std::int32_t> find(const std::string& name) const;

  std::vector<std::string> names_;
  std::unordered_map<std::string, std::int32_t> places_;  // -1 for a name of several nodes
  std::unordered_map<const ggml_tensor*, Span> uses_;
};

}  // namespace lmx

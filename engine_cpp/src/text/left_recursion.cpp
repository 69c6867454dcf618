#include "text/left_recursion.hpp"

#include <cstdint>
#include <utility>
#include <vector>

#include "lmx/base/errors.hpp"

namespace lmx {
namespace {

using Type = GrammarElement::Type;

// Which rules can stand for the empty text.
std::vector<bool> empty_rules(const GrammarRules& rules) {
  std::vector<bool> empty(rules.size());
  for (bool changed = true; changed;) {
    changed = false;
    for (std::size_t i = 0; i < rules.size(); ++i) {
      bool so_far = true;
      bool any = false;
      for (const GrammarElement& element : rules[i]) {
        if (element.type == Type::alternative || element.type == Type::end) {
          any = any || so_far;
          so_far = true;
        } else {
          so_far = so_far && element.type == Type::rule && empty[element.value];
        }
      }
      if (any && !empty[i]) changed = empty[i] = true;
    }
  }
  return empty;
}

// A rule that another can begin with. At the tail of an alternative it leaves nothing to be matched
// behind it, so that coming back to the same rule is coming back to the same parse.
struct Leading {
  std::uint32_t rule;
  bool at_tail;
};
using LeadingRules = std::vector<std::vector<Leading>>;

LeadingRules leading_rules(const GrammarRules& rules) {
  const std::vector<bool> empty = empty_rules(rules);
  LeadingRules leading(rules.size());
  for (std::size_t i = 0; i < rules.size(); ++i) {
    bool at_start = true;
    for (std::size_t k = 0; k < rules[i].size(); ++k) {
      const GrammarElement& element = rules[i][k];
      if (element.type == Type::alternative) {
        at_start = true;
      } else if (at_start && element.type == Type::rule) {
        const Type next = rules[i][k + 1].type;
        leading[i].push_back({element.value, next == Type::end || next == Type::alternative});
        at_start = empty[element.value];
      } else {
        at_start = false;
      }
    }
  }
  return leading;
}

// The rules in the order in which a walk along these edges leaves them.
std::vector<std::uint32_t> walk_order(const LeadingRules& edges) {
  std::vector<std::uint32_t> order;
  std::vector<bool> seen(edges.size());
  std::vector<std::pair<std::uint32_t, std::size_t>> path;  // a rule, and its edges taken
  for (std::uint32_t root = 0; root < edges.size(); ++root) {
    if (seen[root]) continue;
    seen[root] = true;
    path.emplace_back(root, 0);
    while (!path.empty()) {
      auto& [rule, taken] = path.back();
      if (taken == edges[rule].size()) {
        order.push_back(rule);
        path.pop_back();
      } else if (const std::uint32_t next = edges[rule][taken++].rule; !seen[next]) {
        seen[next] = true;
        path.emplace_back(next, 0);
      }
    }
  }
  return order;
}

// Numbers the rules so that those which can begin with each other have the same (Kosaraju).
std::vector<std::uint32_t> circles_of(const LeadingRules& leading) {
  LeadingRules reversed(leading.size());
  for (std::uint32_t i = 0; i < leading.size(); ++i) {
    for (const Leading& edge : leading[i]) reversed[edge.rule].push_back({i, edge.at_tail});
  }
  const auto order = walk_order(leading);
  std::vector<std::uint32_t> circle(leading.size(), UINT32_MAX);
  for (auto root = order.rbegin(); root != order.rend(); ++root) {
    std::vector<std::uint32_t> todo = {*root};
    while (!todo.empty()) {
      const std::uint32_t rule = todo.back();
      todo.pop_back();
      if (circle[rule] != UINT32_MAX) continue;
      circle[rule] = *root;
      for (const Leading& edge : reversed[rule]) todo.push_back(edge.rule);
    }
  }
  return circle;
}

}  // namespace

void check_left_recursion(const GrammarRules& rules) {
  const auto leading = leading_rules(rules);
  const auto circle = circles_of(leading);
  for (std::size_t i = 0; i < rules.size(); ++i) {
    for (const Leading& edge : leading[i]) {
      if (!edge.at_tail && circle[i] == circle[edge.rule]) {
        throw InvalidRequest(
            "the grammar is left-recursive: a rule can begin with itself; write it with * or +");
      }
    }
  }
}

}  // namespace lmx

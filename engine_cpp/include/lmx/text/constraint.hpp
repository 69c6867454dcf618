// When a grammar holds: from the start, from a trigger within the text on, or behind one.
#pragma once

#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

#include "lmx/text/grammar.hpp"

namespace lmx {

struct GrammarStart {
  std::string prefix;                 // of the grammar's text, which is not generated
  std::vector<std::string> triggers;  // it waits for the first of these; none: it holds at once
  // The grammar's text begins behind the trigger and some white space, and the trigger must come
  // (an end of reasoning). Otherwise it begins with the trigger, which may come (a tool call).
  bool behind_trigger = false;
};

// A text in progress. Copies share the grammar's rules.
class Constraint {
 public:
  // Throws InvalidRequest where the prefix does not begin a text of the grammar.
  Constraint(Grammar grammar, GrammarStart start);

  // As of Grammar; anything goes while it waits.
  bool allows(std::string_view bytes, std::uint64_t& work) const;
  void accept(std::string_view bytes);
  bool may_end() const;
  bool must_end() const;

  // Whether any token at all is allowed now, an end included.
  bool idle() const { return waiting_ && !start_.behind_trigger; }
  // Whether the whole text is the grammar's, from its first byte on.
  bool is_whole() const { return start_.prefix.empty() && start_.triggers.empty(); }

 private:
  void look_for_trigger(std::string_view bytes);
  std::string_view without_space(std::string_view bytes) const;

  Grammar grammar_;
  GrammarStart start_;
  std::string seen_;  // the end of the text, while it waits
  bool waiting_ = false;
  std::size_t space_ = 0;  // bytes of white space behind the trigger
  bool in_space_ = false;
};

}  // namespace lmx

#pragma once

#include "lmx/text/grammar.hpp"

namespace lmx {

// Throws InvalidRequest when a rule begins with itself and goes on: it would be expanded for ever.
// The rules must be well formed.
void check_left_recursion(const GrammarRules& rules);

}  // namespace lmx

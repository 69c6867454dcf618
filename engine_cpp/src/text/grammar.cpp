#include "lmx/text/grammar.hpp"

#include <algorithm>
#include <string>

#include "lmx/base/errors.hpp"
#include "text/left_recursion.hpp"

namespace lmx {
namespace {

using Type = GrammarElement::Type;

// Far above what JSON or a programming language needs, and a few milliseconds at the most.
constexpr std::size_t kMaxParses = 512;       // that one text may have at the same time
constexpr std::size_t kMaxDepth = 2048;       // elements that a parse has yet to match
constexpr std::uint32_t kMaxWork = 1U << 14;  // steps for one token
constexpr std::size_t kMaxElements = 1U << 18;
constexpr std::uint32_t kLastCodePoint = 0x10FFFF;

bool is_class_start(Type type) {
  return type == Type::chr || type == Type::chr_not || type == Type::any;
}

bool is_class_rest(Type type) {
  return type == Type::range_upper || type == Type::chr_alt;
}

void check_element(const std::vector<GrammarElement>& rule, std::size_t at, std::size_t n_rules) {
  const GrammarElement& element = rule[at];
  const bool last = at + 1 == rule.size();
  if (last != (element.type == Type::end)) throw InvalidRequest("the grammar is malformed");
  if (element.type == Type::token || element.type == Type::token_not) {
    throw InvalidRequest("the grammar names a token; describe its characters instead");
  }
  if (element.type < Type::end || element.type > Type::token_not ||
      (element.type == Type::rule && element.value >= n_rules)) {
    throw InvalidRequest("the grammar is malformed");
  }
  if (is_class_rest(element.type) &&
      (at == 0 || !(is_class_start(rule[at - 1].type) || is_class_rest(rule[at - 1].type)))) {
    throw InvalidRequest("the grammar is malformed");
  }
}

struct Lead {
  std::uint32_t bits, missing, lowest;
};

// The first byte of a character, after table 3-7 of the Unicode standard; nothing missing and no
// bits for one that cannot begin any.
Lead lead_of(unsigned char byte) {
  if (byte < 0x80) return {byte, 0, 0};
  if (byte >= 0xC2 && byte <= 0xDF) return {byte & 0x1FU, 1, 0x80};
  if (byte >= 0xE0 && byte <= 0xEF) return {byte & 0x0FU, 2, 0x800};
  if (byte >= 0xF0 && byte <= 0xF4) return {byte & 0x07U, 3, 0x10000};
  return {kLastCodePoint + 1, 0, 0};
}

bool is_code_point(std::uint32_t value) {
  return value <= kLastCodePoint && (value < 0xD800 || value > 0xDFFF);
}

}  // namespace

Grammar::Grammar(const GrammarRules& rules) {
  if (rules.empty()) throw InvalidRequest("the grammar is empty");
  Elements elements;
  for (const auto& rule : rules) {
    elements.first_of.push_back(static_cast<std::uint32_t>(elements.all.size()));
    if (rule.empty()) throw InvalidRequest("the grammar is malformed");
    for (std::size_t i = 0; i < rule.size(); ++i) check_element(rule, i, rules.size());
    elements.all.insert(elements.all.end(), rule.begin(), rule.end());
    if (elements.all.size() > kMaxElements) {
      throw InvalidRequest("the grammar is too large; use fewer or smaller repetitions");
    }
  }
  check_left_recursion(rules);
  // A reference to the start, so that the parses are those of its alternatives.
  const auto start = static_cast<std::uint32_t>(elements.all.size());
  elements.all.push_back({Type::rule, 0});
  elements.all.push_back({Type::end, 0});
  elements_ = std::make_shared<const Elements>(std::move(elements));
  std::uint32_t work = 0;
  if (!elements_->expand({start}, state_.parses, work)) {
    throw InvalidRequest(
        "the grammar is too ambiguous: it can begin in too many ways; simplify its alternatives");
  }
}

bool Grammar::Elements::ends(std::uint32_t at) const {
  return all[at].type == Type::end || all[at].type == Type::alternative;
}

// The element behind the class of characters that stands at `at`.
std::uint32_t Grammar::Elements::after(std::uint32_t at) const {
  do {
    ++at;
  } while (is_class_rest(all[at].type));
  return at;
}

// Whether a code point of this range belongs to the class. For a range and a negated class it may
// say yes wrongly, never no.
bool Grammar::Elements::matches(std::uint32_t at, std::uint32_t low, std::uint32_t high) const {
  if (all[at].type == Type::any) return true;
  const bool negated = all[at].type == Type::chr_not;
  const std::uint32_t behind = after(at);
  while (at < behind) {
    const bool is_range = all[at + 1].type == Type::range_upper;
    const std::uint32_t first = all[at].value;
    const std::uint32_t last = is_range ? all[at + 1].value : first;
    if (negated ? first <= low && high <= last : first <= high && low <= last) return !negated;
    at += is_range ? 2 : 1;
  }
  return negated;
}

// Replaces rules by what they stand for until each parse waits for a character, or is complete.
// False when the limits do not suffice.
bool Grammar::Elements::expand(Parse parse, std::set<Parse>& ready, std::uint32_t& work) const {
  std::set<Parse> seen;
  std::vector<Parse> todo = {std::move(parse)};
  while (!todo.empty()) {
    const auto [position, is_new] = seen.insert(std::move(todo.back()));
    todo.pop_back();
    if (!is_new) continue;
    const Parse& current = *position;
    if (++work > kMaxWork || current.size() > kMaxDepth) return false;
    if (current.empty() || all[current.back()].type != Type::rule) {
      ready.insert(current);
      if (ready.size() > kMaxParses) return false;
      continue;
    }
    const std::uint32_t reference = current.back();
    for (std::uint32_t at = first_of[all[reference].value];; ++at) {
      Parse next(current.begin(), current.end() - 1);
      if (!ends(reference + 1)) next.push_back(reference + 1);
      if (!ends(at)) next.push_back(at);
      todo.push_back(std::move(next));
      while (!ends(at)) ++at;
      if (all[at].type == Type::end) break;
    }
  }
  return true;
}

bool Grammar::push_code_point(State& state, std::uint32_t code_point, std::uint32_t& work) const {
  std::set<Parse> next;
  for (const Parse& parse : state.parses) {
    if (parse.empty() || !elements_->matches(parse.back(), code_point, code_point)) continue;
    Parse rest(parse.begin(), parse.end() - 1);
    const std::uint32_t behind = elements_->after(parse.back());
    if (!elements_->ends(behind)) rest.push_back(behind);
    if (!elements_->expand(std::move(rest), next, work)) return false;
  }
  state.parses = std::move(next);
  return !state.parses.empty();
}

bool Grammar::push_byte(State& state, unsigned char byte, std::uint32_t& work) const {
  if (state.missing == 0) {
    const Lead lead = lead_of(byte);
    state.code_point = lead.bits;
    state.missing = lead.missing;
    state.lowest = lead.lowest;
  } else {
    if ((byte & 0xC0U) != 0x80U) return false;
    state.code_point = state.code_point << 6U | (byte & 0x3FU);
    state.missing -= 1;
  }
  if (state.missing > 0) return true;
  if (state.code_point < state.lowest || !is_code_point(state.code_point)) return false;
  return push_code_point(state, state.code_point, work);
}

// Whether the character that has begun can become one that is allowed here.
bool Grammar::partial_fits(const State& state) const {
  const std::uint32_t bits = 6 * state.missing;
  const std::uint32_t low = std::max(state.code_point << bits, state.lowest);
  const std::uint32_t high =
      std::min(state.code_point << bits | ((1U << bits) - 1), kLastCodePoint);
  return low <= high && std::ranges::any_of(state.parses, [&](const Parse& parse) {
           return !parse.empty() && elements_->matches(parse.back(), low, high);
         });
}

bool Grammar::push(State& state, std::string_view bytes, std::uint32_t& work) const {
  for (const char byte : bytes) {
    if (!push_byte(state, static_cast<unsigned char>(byte), work)) return false;
  }
  return state.missing == 0 || partial_fits(state);
}

bool Grammar::allows(std::string_view bytes, std::uint64_t& work) const {
  State state = state_;
  std::uint32_t steps = 1;
  const bool allowed = push(state, bytes, steps);
  work += steps;
  return allowed;
}

void Grammar::accept(std::string_view bytes) {
  State state = state_;
  std::uint32_t work = 0;
  if (!push(state, bytes, work)) throw Error("the text has left its grammar");
  state_ = std::move(state);
}

bool Grammar::may_end() const {
  return state_.missing == 0 &&
         std::ranges::any_of(state_.parses, [](const Parse& parse) { return parse.empty(); });
}

bool Grammar::must_end() const {
  return state_.missing == 0 &&
         std::ranges::all_of(state_.parses, [](const Parse& parse) { return parse.empty(); });
}

}  // namespace lmx

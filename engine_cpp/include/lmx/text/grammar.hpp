// A grammar that a text must follow. llama.cpp parses the GBNF, in a process set aside for it; this
// walks the parsed rules under limits, so that no grammar, however ambiguous, holds up the device.
#pragma once

#include <cstdint>
#include <memory>
#include <set>
#include <string_view>
#include <vector>

namespace lmx {

// One element of a rule, as llama.cpp's parser lays it out. A class of characters is `chr` or
// `chr_not`, each value optionally followed by its `range_upper`, then any number of `chr_alt`.
struct GrammarElement {
  enum Type : std::int32_t {
    end,
    alternative,
    rule,
    chr,
    chr_not,
    range_upper,
    chr_alt,
    any,
    token,
    token_not
  };
  Type type = end;
  std::uint32_t value = 0;  // code point, or number of a rule
};
using GrammarRules = std::vector<std::vector<GrammarElement>>;

// A text in progress under a grammar whose first rule is the start. Copies share the rules.
class Grammar {
 public:
  // Throws InvalidRequest for rules that are malformed, left-recursive or made of tokens.
  explicit Grammar(const GrammarRules& rules);

  // Whether the text so far, followed by these bytes, can begin a text of the grammar; not so
  // where finding out exceeds the limits. `work` grows by the steps that it took.
  bool allows(std::string_view bytes, std::uint64_t& work) const;

  // Appends them. Throws Error when they are not allowed.
  void accept(std::string_view bytes);

  bool may_end() const;   // the text so far is a text of the grammar
  bool must_end() const;  // and no longer one begins with it

 private:
  // Where a parse stands: the elements still to be matched, the next one last.
  using Parse = std::vector<std::uint32_t>;
  struct State {
    std::set<Parse> parses;
    std::uint32_t code_point = 0;  // of a character that has not arrived whole
    std::uint32_t missing = 0;     // its bytes yet to come
    std::uint32_t lowest = 0;      // that its length may encode
  };
  struct Elements {
    std::vector<GrammarElement> all;      // of all rules, one after another
    std::vector<std::uint32_t> first_of;  // by number of the rule
    bool ends(std::uint32_t at) const;
    std::uint32_t after(std::uint32_t at) const;
    bool matches(std::uint32_t at, std::uint32_t low, std::uint32_t high) const;
    bool expand(Parse parse, std::set<Parse>& ready, std::uint32_t& work) const;
  };

  bool push_byte(State& state, unsigned char byte, std::uint32_t& work) const;
  bool push_code_point(State& state, std::uint32_t code_point, std::uint32_t& work) const;
  bool partial_fits(const State& state) const;
  bool push(State& state, std::string_view bytes, std::uint32_t& work) const;

  std::shared_ptr<const Elements> elements_;
  State state_;
};

}  // namespace lmx

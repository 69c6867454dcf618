#include "lmx/text/grammar.hpp"

#include <string>

#include "check.hpp"
#include "lmx/base/errors.hpp"

using lmx::Grammar;
using lmx::GrammarElement;
using lmx::GrammarRules;
using E = lmx::GrammarElement;

namespace {

bool allows(const Grammar& grammar, std::string_view text) {
  std::uint64_t work = 0;
  return grammar.allows(text, work);
}

bool refused(const GrammarRules& rules) {
  try {
    const Grammar grammar(rules);
  } catch (const lmx::InvalidRequest&) {
    return true;
  }
  return false;
}

// root ::= "a" [0-9x] | "é"
const GrammarRules kSmall = {{{E::chr, 'a'},
                              {E::chr, '0'},
                              {E::range_upper, '9'},
                              {E::chr_alt, 'x'},
                              {E::alternative, 0},
                              {E::chr, 0xE9},
                              {E::end, 0}}};

}  // namespace

TEST("a text is followed character by character to its end") {
  Grammar grammar(kSmall);
  CHECK(!grammar.may_end() && !grammar.must_end());
  CHECK(allows(grammar, "a") && allows(grammar, "a7") && allows(grammar, "ax"));
  CHECK(!allows(grammar, "b") && !allows(grammar, "ab") && !allows(grammar, "a77"));
  grammar.accept("a7");
  CHECK(grammar.may_end() && grammar.must_end());
  CHECK(!allows(grammar, "7"));
}

TEST("a character may arrive in pieces, and only one that is allowed") {
  Grammar grammar(kSmall);
  CHECK(!allows(grammar, "\xC2") && !allows(grammar, "\xE2\x82") && !allows(grammar, "\xFF"));
  CHECK(allows(grammar, "\xC3"));
  grammar.accept("\xC3");
  CHECK(!grammar.may_end());
  CHECK(!allows(grammar, "a") && !allows(grammar, "\xA8"));
  grammar.accept("\xA9");
  CHECK(grammar.must_end());
}

TEST("overlong characters and surrogates are not characters") {
  const Grammar any(GrammarRules{{{E::any, 0}, {E::end, 0}}});
  CHECK(allows(any, "\xF0\x9F\x98\x80"));
  CHECK(!allows(any, "\xE0\x80\x80") && !allows(any, "\xED\xA0\x80") &&
        !allows(any, "\xF4\x90\x80"));
}

TEST("a grammar may call itself behind a character") {
  // root ::= "(" root ")" | ""
  Grammar nested(
      GrammarRules{{{E::chr, '('}, {E::rule, 0}, {E::chr, ')'}, {E::alternative, 0}, {E::end, 0}}});
  nested.accept("((()");
  CHECK(!nested.may_end() && !allows(nested, ")))"));
  nested.accept("))");
  CHECK(nested.must_end());
}

TEST("a rule that can begin with itself is refused, also behind what may be empty") {
  CHECK(refused({{{E::rule, 0}, {E::chr, 'a'}, {E::end, 0}}}));
  // root ::= empty root "a"; empty ::= nothing; nothing ::= ""
  CHECK(refused({{{E::rule, 1}, {E::rule, 0}, {E::chr, 'a'}, {E::end, 0}},
                 {{E::rule, 2}, {E::end, 0}},
                 {{E::end, 0}}}));
}

TEST("a repetition of what may be empty is no left recursion") {
  // root ::= item root | ""; item ::= "a" | ""
  Grammar grammar(GrammarRules{{{E::rule, 1}, {E::rule, 0}, {E::alternative, 0}, {E::end, 0}},
                               {{E::chr, 'a'}, {E::alternative, 0}, {E::end, 0}}});
  CHECK(grammar.may_end());
  grammar.accept("aaa");
  CHECK(grammar.may_end() && !allows(grammar, "b"));
}

TEST("malformed rules are refused") {
  CHECK(refused({}));
  CHECK(refused({{}}));
  CHECK(refused({{{E::chr, 'a'}}}));
  CHECK(refused({{{E::rule, 7}, {E::end, 0}}}));
  CHECK(refused({{{E::range_upper, 'a'}, {E::end, 0}}}));
  CHECK(refused({{{E::token, 5}, {E::end, 0}}}));
}

TEST("an ambiguity that doubles with each character ends at the limits, quickly") {
  // root ::= "x" one | "x" two | "x"; one ::= root "1"; two ::= root "2"
  const Grammar grammar(GrammarRules{{{E::chr, 'x'},
                                      {E::rule, 1},
                                      {E::alternative, 0},
                                      {E::chr, 'x'},
                                      {E::rule, 2},
                                      {E::alternative, 0},
                                      {E::chr, 'x'},
                                      {E::end, 0}},
                                     {{E::rule, 0}, {E::chr, '1'}, {E::end, 0}},
                                     {{E::rule, 0}, {E::chr, '2'}, {E::end, 0}}});
  CHECK(allows(grammar, "xxx12"));
  CHECK(!allows(grammar, std::string(64, 'x')));
}

TEST("a grammar that can begin in a million ways is refused") {
  GrammarRules rules;
  for (std::uint32_t i = 0; i < 20; ++i) {
    rules.push_back({{E::rule, i + 1},
                     {E::chr, '1'},
                     {E::alternative, 0},
                     {E::rule, i + 1},
                     {E::chr, '2'},
                     {E::end, 0}});
  }
  rules.push_back({{E::chr, 'x'}, {E::end, 0}});
  CHECK(refused(rules));
}

#include "lmx/text/constraint.hpp"

#include <string>

#include "check.hpp"
#include "lmx/base/errors.hpp"

using lmx::Constraint;
using lmx::Grammar;
using lmx::GrammarRules;
using lmx::GrammarStart;
using E = lmx::GrammarElement;

namespace {

bool allows(const Constraint& constraint, std::string_view text) {
  std::uint64_t work = 0;
  return constraint.allows(text, work);
}

// root ::= "<" [a-z] ">"
Grammar tag() {
  return Grammar(GrammarRules{
      {{E::chr, '<'}, {E::chr, 'a'}, {E::range_upper, 'z'}, {E::chr, '>'}, {E::end, 0}}});
}

}  // namespace

TEST("a constraint holds from the start, behind what the prompt has written of it") {
  Constraint constraint(tag(), {.prefix = "<"});
  CHECK(!constraint.idle() && !constraint.is_whole());
  CHECK(allows(constraint, "b>") && !allows(constraint, "<b>"));
  constraint.accept("b>");
  CHECK(constraint.must_end());
}

TEST("a prefix that is not of the grammar is refused") {
  bool refused = false;
  try {
    const Constraint constraint(tag(), {.prefix = ">"});
  } catch (const lmx::InvalidRequest&) {
    refused = true;
  }
  CHECK(refused);
}

TEST("a constraint that waits allows everything, and then begins with its trigger") {
  Constraint constraint(tag(), {.triggers = {"<x", "<y"}});
  constraint.accept("a < b <");
  CHECK(constraint.idle() && constraint.may_end() && !constraint.must_end());
  constraint.accept("y");
  CHECK(!constraint.idle() && !constraint.may_end());
  CHECK(allows(constraint, ">") && !allows(constraint, "y"));
  constraint.accept(">");
  CHECK(constraint.must_end());
}

TEST("a trigger whose token goes on otherwise than the grammar leaves the text free") {
  Constraint constraint(tag(), {.triggers = {"<x"}});
  constraint.accept("<xyz and more");
  CHECK(constraint.idle());
  constraint.accept("<x>");
  CHECK(constraint.must_end());
}

TEST("behind the end of reasoning comes the grammar's text, after some white space") {
  Constraint constraint(tag(), {.triggers = {"</think>"}, .behind_trigger = true});
  CHECK(!constraint.idle() && !constraint.may_end());
  CHECK(allows(constraint, "<anything"));
  constraint.accept("hm <a> </thi");
  constraint.accept("nk>\n");
  CHECK(!constraint.may_end());
  CHECK(allows(constraint, "\n") && allows(constraint, "\n<q") && !allows(constraint, "q"));
  CHECK(!allows(constraint, std::string(64, ' ')));
  constraint.accept("\n<q");
  CHECK(!allows(constraint, "\n>"));
  constraint.accept(">");
  CHECK(constraint.must_end());
}

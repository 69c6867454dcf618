#include "lmx/text/constraint.hpp"

#include <algorithm>
#include <utility>

#include "lmx/base/errors.hpp"

namespace lmx {
namespace {

constexpr std::size_t kMaxSpace = 16;  // bytes between the end of reasoning and the grammar's text
constexpr std::string_view kSpace = " \t\r\n";

}  // namespace

Constraint::Constraint(Grammar grammar, GrammarStart start)
    : grammar_(std::move(grammar)), start_(std::move(start)) {
  std::erase(start_.triggers, "");
  waiting_ = !start_.triggers.empty();
  if (waiting_) return;
  std::uint64_t work = 0;
  if (!grammar_.allows(start_.prefix, work)) {
    throw InvalidRequest(
        "the answer's beginning, which the chat template writes, is not of its grammar");
  }
  grammar_.accept(start_.prefix);
}

bool Constraint::allows(std::string_view bytes, std::uint64_t& work) const {
  if (waiting_) return true;
  const std::string_view rest = without_space(bytes);
  if (rest.empty()) return space_ + bytes.size() <= kMaxSpace;
  return grammar_.allows(rest, work);
}

void Constraint::accept(std::string_view bytes) {
  if (waiting_) return look_for_trigger(bytes);
  const std::string_view rest = without_space(bytes);
  space_ += bytes.size() - rest.size();
  if (rest.empty()) return;
  in_space_ = false;
  grammar_.accept(rest);
}

bool Constraint::may_end() const {
  return waiting_ ? idle() : grammar_.may_end();
}

bool Constraint::must_end() const {
  return !waiting_ && grammar_.must_end();
}

std::string_view Constraint::without_space(std::string_view bytes) const {
  if (!in_space_) return bytes;
  return bytes.substr(std::min(bytes.find_first_not_of(kSpace), bytes.size()));
}

void Constraint::look_for_trigger(std::string_view bytes) {
  seen_ += bytes;
  std::size_t first = std::string::npos;
  std::size_t length = 0;
  std::size_t longest = 0;
  for (const std::string& trigger : start_.triggers) {
    longest = std::max(longest, trigger.size());
    const std::size_t at = seen_.find(trigger);
    if (at < first) {
      first = at;
      length = trigger.size();
    }
  }
  if (first == std::string::npos) {
    if (seen_.size() >= longest) seen_.erase(0, seen_.size() - longest + 1);
    return;
  }
  const std::string rest = seen_.substr(start_.behind_trigger ? first + length : first);
  std::uint64_t work = 0;
  if (start_.behind_trigger) {
    waiting_ = false;
    in_space_ = true;
    seen_.clear();
    // The token that ends the reasoning may hold a beginning of what follows; if that is not of the
    // grammar, the text fails as a whole.
    if (!allows(rest, work))
      throw Error("the text has left its grammar at the end of its reasoning");
    return accept(rest);
  }
  if (grammar_.allows(rest, work)) {
    waiting_ = false;
    seen_.clear();
    grammar_.accept(rest);
  } else {
    seen_.erase(0, first + 1);
  }
}

}  // namespace lmx

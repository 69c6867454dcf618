#include "lmx/chat/chat_format.hpp"

#include "common_chat.hpp"
#include "lmx/base/errors.hpp"

namespace lmx {
namespace {

constexpr int kSilent = -1;

template <typename Work>
auto with_our_errors(Work work) -> decltype(work()) {
  try {
    return work();
  } catch (const std::bad_alloc&) {
    throw;
  } catch (const std::exception& error) {
    throw Error(error.what());
  }
}

common_chat_msg to_library(const ChatMessage& message) {
  common_chat_msg copy;
  copy.role = message.role;
  copy.content = message.content;
  copy.reasoning_content = message.reasoning;
  copy.tool_name = message.tool_name;
  copy.tool_call_id = message.tool_call_id;
  for (const ToolCall& call : message.tool_calls) {
    copy.tool_calls.push_back({call.name, call.arguments, call.id});
  }
  return copy;
}

ChatMessage from_library(const common_chat_msg& message) {
  ChatMessage copy;
  copy.role = message.role;
  copy.content = message.content;
  copy.reasoning = message.reasoning_content;
  for (const auto& call : message.tool_calls) {
    copy.tool_calls.push_back({call.id, call.name, call.arguments});
  }
  return copy;
}

common_chat_tool_choice to_library(ToolChoice choice) {
  if (choice == ToolChoice::required) return COMMON_CHAT_TOOL_CHOICE_REQUIRED;
  if (choice == ToolChoice::none) return COMMON_CHAT_TOOL_CHOICE_NONE;
  return COMMON_CHAT_TOOL_CHOICE_AUTO;
}

common_chat_templates_inputs to_library(const Conversation& conversation) {
  common_chat_templates_inputs inputs;
  for (const ChatMessage& message : conversation.messages) {
    inputs.messages.push_back(to_library(message));
  }
  for (const Tool& tool : conversation.tools) {
    inputs.tools.push_back({tool.name, tool.description, tool.parameters});
  }
  inputs.tool_choice = to_library(conversation.tool_choice);
  inputs.parallel_tool_calls = conversation.parallel_tool_calls;
  inputs.reasoning_format = COMMON_REASONING_FORMAT_AUTO;
  inputs.enable_thinking = conversation.thinking;
  inputs.chat_template_kwargs = conversation.options;
  return inputs;
}

ChatFormat from_library(common_chat_params params) {
  ChatFormat format;
  format.prompt = std::move(params.prompt);
  format.generation_prompt = std::move(params.generation_prompt);
  format.grammar = std::move(params.grammar);
  format.grammar_is_lazy = params.grammar_lazy;
  for (auto& trigger : params.grammar_triggers) {
    if (trigger.type == COMMON_GRAMMAR_TRIGGER_TYPE_WORD) {
      format.triggers.push_back(std::move(trigger.value));
    }
  }
  format.preserved = std::move(params.preserved_tokens);
  format.stops = std::move(params.additional_stops);
  format.thinks = params.supports_thinking;
  format.thinking_start = std::move(params.thinking_start_tag);
  format.thinking_ends = std::move(params.thinking_end_tags);
  format.kind = params.format;
  format.parser = std::move(params.parser);
  return format;
}

}  // namespace

struct ChatTemplate::Library {
  common_chat_templates_ptr templates;
};

ChatTemplate::ChatTemplate(const std::string& source, const std::string& bos,
                           const std::string& eos) {
  common_log_set_verbosity_thold(kSilent);
  library_ = std::make_unique<Library>(Library{
      with_our_errors([&] { return common_chat_templates_init(nullptr, source, bos, eos); })});
}

ChatTemplate::~ChatTemplate() = default;

ChatFormat ChatTemplate::apply(const Conversation& conversation) const {
  return with_our_errors([&] {
    return from_library(
        common_chat_templates_apply(library_->templates.get(), to_library(conversation)));
  });
}

std::map<std::string, bool> ChatTemplate::capabilities() const {
  return with_our_errors([&] { return common_chat_templates_get_caps(library_->templates.get()); });
}

struct AnswerParser::Library {
  common_peg_arena arena;
  common_chat_parser_params params;
};

AnswerParser::AnswerParser(int kind, const std::string& parser,
                           const std::string& generation_prompt)
    : library_(std::make_unique<Library>()) {
  if (kind < 0 || kind >= COMMON_CHAT_FORMAT_COUNT) throw Error("there is no such chat format");
  library_->params.format = static_cast<common_chat_format>(kind);
  library_->params.reasoning_format = COMMON_REASONING_FORMAT_AUTO;
  library_->params.generation_prompt = generation_prompt;
  if (!parser.empty()) with_our_errors([&] { library_->arena.load(parser); });
}

AnswerParser::~AnswerParser() = default;

ChatMessage AnswerParser::parse(const std::string& answer, bool partial) const {
  return with_our_errors([&] {
    return from_library(common_chat_peg_parse(library_->arena, answer, partial, library_->params));
  });
}

}  // namespace lmx

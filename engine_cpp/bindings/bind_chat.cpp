// The Python module lmx.engine._chat: chat formats, for the child process only. It is apart from
// _core because it needs libllama-common, without which everything else must work.
#include <nanobind/nanobind.h>
#include <nanobind/stl/map.h>
#include <nanobind/stl/string.h>
#include <nanobind/stl/vector.h>

#include "lmx/base/errors.hpp"
#include "lmx/chat/chat_format.hpp"

namespace nb = nanobind;
using namespace nb::literals;

namespace lmx {
namespace {

void bind_values(nb::module_& module) {
  nb::class_<ToolCall>(module, "ToolCall")
      .def(nb::init<std::string, std::string, std::string>(), "id"_a, "name"_a, "arguments"_a)
      .def_ro("id", &ToolCall::id)
      .def_ro("name", &ToolCall::name)
      .def_ro("arguments", &ToolCall::arguments);
  nb::class_<ChatMessage>(module, "ChatMessage")
      .def(nb::init<std::string, std::string, std::string, std::vector<ToolCall>, std::string,
                    std::string>(),
           "role"_a, "content"_a, "reasoning"_a, "tool_calls"_a, "tool_name"_a, "tool_call_id"_a)
      .def_ro("content", &ChatMessage::content)
      .def_ro("reasoning", &ChatMessage::reasoning)
      .def_ro("tool_calls", &ChatMessage::tool_calls);
  nb::class_<Tool>(module, "Tool")
      .def(nb::init<std::string, std::string, std::string>(), "name"_a, "description"_a,
           "parameters"_a);
  nb::enum_<ToolChoice>(module, "ToolChoice")
      .value("auto", ToolChoice::automatic)
      .value("required", ToolChoice::required)
      .value("none", ToolChoice::none);
  nb::class_<Conversation>(module, "Conversation")
      .def(nb::init<std::vector<ChatMessage>, std::vector<Tool>, ToolChoice, bool, bool,
                    std::map<std::string, std::string>>(),
           "messages"_a, "tools"_a, "tool_choice"_a, "parallel_tool_calls"_a, "thinking"_a,
           "options"_a);
}

void bind_format(nb::module_& module) {
  nb::class_<ChatFormat>(module, "ChatFormat")
      .def_ro("prompt", &ChatFormat::prompt)
      .def_ro("generation_prompt", &ChatFormat::generation_prompt)
      .def_ro("grammar", &ChatFormat::grammar)
      .def_ro("grammar_is_lazy", &ChatFormat::grammar_is_lazy)
      .def_ro("triggers", &ChatFormat::triggers)
      .def_ro("preserved", &ChatFormat::preserved)
      .def_ro("stops", &ChatFormat::stops)
      .def_ro("thinks", &ChatFormat::thinks)
      .def_ro("thinking_start", &ChatFormat::thinking_start)
      .def_ro("thinking_ends", &ChatFormat::thinking_ends)
      .def_ro("kind", &ChatFormat::kind)
      .def_ro("parser", &ChatFormat::parser);
}

}  // namespace
}  // namespace lmx

NB_MODULE(_chat, module) {
  using namespace lmx;
  module.doc() = "Chat formats; only for the child process lmx.engine.chat_service.";
  bind_values(module);
  bind_format(module);
  nb::exception<Error>(module, "ChatError");
  nb::class_<ChatTemplate>(module, "ChatTemplate")
      .def(nb::init<std::string, std::string, std::string>(), "source"_a, "bos"_a, "eos"_a)
      .def("apply", &ChatTemplate::apply, "conversation"_a)
      .def("capabilities", &ChatTemplate::capabilities);
  nb::class_<AnswerParser>(module, "AnswerParser")
      .def(nb::init<int, std::string, std::string>(), "kind"_a, "parser"_a, "generation_prompt"_a)
      .def("parse", &AnswerParser::parse, "answer"_a, "partial"_a);
}

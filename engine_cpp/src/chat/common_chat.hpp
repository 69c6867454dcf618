// What is used of libllama-common, whose headers the llama-cpp-python package does not install: the
// types by their layout and the functions by their names in the pinned version. Included by
// chat_format.cpp only, which checks at start that the library agrees.
#pragma once

#include <chrono>
#include <cstddef>
#include <limits>
#include <map>
#include <memory>
#include <string>
#include <unordered_map>
#include <vector>

#include "llama.h"

enum common_reasoning_format {
  COMMON_REASONING_FORMAT_NONE,
  COMMON_REASONING_FORMAT_AUTO,
  COMMON_REASONING_FORMAT_DEEPSEEK_LEGACY,
  COMMON_REASONING_FORMAT_DEEPSEEK,
};
enum common_chat_role {
  COMMON_CHAT_ROLE_UNKNOWN,
  COMMON_CHAT_ROLE_SYSTEM,
  COMMON_CHAT_ROLE_ASSISTANT,
  COMMON_CHAT_ROLE_USER,
  COMMON_CHAT_ROLE_TOOL,
};
enum common_chat_tool_choice {
  COMMON_CHAT_TOOL_CHOICE_AUTO,
  COMMON_CHAT_TOOL_CHOICE_REQUIRED,
  COMMON_CHAT_TOOL_CHOICE_NONE,
};
enum common_chat_format {
  COMMON_CHAT_FORMAT_CONTENT_ONLY,
  COMMON_CHAT_FORMAT_PEG_SIMPLE,
  COMMON_CHAT_FORMAT_PEG_NATIVE,
  COMMON_CHAT_FORMAT_PEG_GEMMA4,
  COMMON_CHAT_FORMAT_PEG_MINIMAX_M3,
  COMMON_CHAT_FORMAT_COUNT,
};
enum common_chat_continuation {
  COMMON_CHAT_CONTINUATION_NONE,
  COMMON_CHAT_CONTINUATION_AUTO,
  COMMON_CHAT_CONTINUATION_REASONING,
  COMMON_CHAT_CONTINUATION_CONTENT,
};
enum common_grammar_trigger_type {
  COMMON_GRAMMAR_TRIGGER_TYPE_TOKEN,
  COMMON_GRAMMAR_TRIGGER_TYPE_WORD,
  COMMON_GRAMMAR_TRIGGER_TYPE_PATTERN,
  COMMON_GRAMMAR_TRIGGER_TYPE_PATTERN_FULL,
};

struct common_grammar_trigger {
  common_grammar_trigger_type type;
  std::string value;
  llama_token token;
};

struct common_chat_tool_call {
  std::string name;
  std::string arguments;  // JSON
  std::string id;
};

struct common_chat_msg_content_part {
  std::string type;
  std::string text;
};

struct common_chat_msg {
  std::string role;
  std::string content;
  std::vector<common_chat_msg_content_part> content_parts;
  std::vector<common_chat_tool_call> tool_calls;
  std::string reasoning_content;
  std::string tool_name;
  std::string tool_call_id;
};

struct common_chat_tool {
  std::string name;
  std::string description;
  std::string parameters;  // JSON
};

struct common_chat_msg_delimiter {
  common_chat_role role;
  std::string delimiter;
  std::vector<llama_token> tokens;
};

struct common_chat_msg_delimiters {
  std::vector<common_chat_msg_delimiter> delimiters;
};

struct common_chat_templates_inputs {
  std::vector<common_chat_msg> messages;
  std::string grammar;
  std::string json_schema;
  bool add_generation_prompt = true;
  common_chat_continuation continue_final_message = COMMON_CHAT_CONTINUATION_NONE;
  bool use_jinja = true;
  std::vector<common_chat_tool> tools;
  common_chat_tool_choice tool_choice = COMMON_CHAT_TOOL_CHOICE_AUTO;
  bool parallel_tool_calls = false;
  common_reasoning_format reasoning_format = COMMON_REASONING_FORMAT_NONE;
  bool enable_thinking = true;
  std::chrono::system_clock::time_point now = std::chrono::system_clock::now();
  std::map<std::string, std::string> chat_template_kwargs;  // values are JSON
  bool add_bos = false;
  bool add_eos = false;
  bool force_pure_content = false;
};

struct common_chat_params {
  common_chat_format format = COMMON_CHAT_FORMAT_CONTENT_ONLY;
  std::string prompt;
  std::string grammar;
  bool grammar_lazy = false;
  std::string generation_prompt;
  bool supports_thinking = false;
  std::string thinking_start_tag;
  std::vector<std::string> thinking_end_tags;
  std::vector<common_grammar_trigger> grammar_triggers;
  std::vector<std::string> preserved_tokens;
  std::vector<std::string> additional_stops;
  std::string parser;  // as common_peg_arena::load reads it
  common_chat_msg_delimiters message_delimiters;
};

// Its parsers are of a type that is not needed here; only the library fills and destroys them.
class common_peg_arena {
 public:
  common_peg_arena() = default;
  ~common_peg_arena();
  common_peg_arena(const common_peg_arena&) = delete;
  common_peg_arena& operator=(const common_peg_arena&) = delete;

  void load(const std::string& data);

 private:
  std::vector<std::max_align_t> parsers_;
  std::unordered_map<std::string, std::size_t> rules_;
  std::size_t root_ = std::numeric_limits<std::size_t>::max();
};

struct common_chat_parser_params {
  common_chat_format format = COMMON_CHAT_FORMAT_CONTENT_ONLY;
  common_reasoning_format reasoning_format = COMMON_REASONING_FORMAT_NONE;
  bool reasoning_in_content = false;
  std::string generation_prompt;
  bool parse_tool_calls = true;
  bool is_continuation = false;
  bool echo = false;
  bool debug = false;
  common_peg_arena parser;
};

struct common_chat_templates;
void common_chat_templates_free(common_chat_templates* templates);
struct common_chat_templates_deleter {
  void operator()(common_chat_templates* templates) { common_chat_templates_free(templates); }
};
using common_chat_templates_ptr =
    std::unique_ptr<common_chat_templates, common_chat_templates_deleter>;

common_chat_templates_ptr common_chat_templates_init(const llama_model* model,
                                                     const std::string& chat_template,
                                                     const std::string& bos,
                                                     const std::string& eos);
common_chat_params common_chat_templates_apply(const common_chat_templates* templates,
                                               const common_chat_templates_inputs& inputs);
std::map<std::string, bool> common_chat_templates_get_caps(const common_chat_templates* templates);
common_chat_msg common_chat_peg_parse(const common_peg_arena& parser, const std::string& text,
                                      bool is_partial, const common_chat_parser_params& params);
void common_log_set_verbosity_thold(int verbosity);

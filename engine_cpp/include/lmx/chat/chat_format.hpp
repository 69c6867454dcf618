// Conversations to prompt text, and a model's answer back into text, reasoning and tool calls, by
// the formats that llama.cpp knows or finds out from a chat template. Templates and answers are
// hostile until proven otherwise and can crash the library: only for a process set aside for them.
#pragma once

#include <map>
#include <memory>
#include <string>
#include <vector>

namespace lmx {

struct ToolCall {
  std::string id;
  std::string name;
  std::string arguments;  // JSON as the model wrote it; cut short while it is still writing
};

struct ChatMessage {
  std::string role;
  std::string content;
  std::string reasoning;
  std::vector<ToolCall> tool_calls;
  std::string tool_name;     // of the tool whose result this is
  std::string tool_call_id;  // of the call whose result this is
};

struct Tool {
  std::string name;
  std::string description;
  std::string parameters;  // a JSON schema
};

enum class ToolChoice { automatic, required, none };

struct Conversation {
  std::vector<ChatMessage> messages;
  std::vector<Tool> tools;
  ToolChoice tool_choice = ToolChoice::automatic;
  bool parallel_tool_calls = false;
  bool thinking = true;
  std::map<std::string, std::string> options;  // of the template, by name, in JSON
};

// How the answer to a conversation will look, and how to read it.
struct ChatFormat {
  std::string prompt;             // ends with generation_prompt
  std::string generation_prompt;  // the beginning of the answer, which the template has written
  std::string grammar;            // GBNF of generation prompt and answer; empty: anything goes
  bool grammar_is_lazy = false;   // it begins with one of the triggers instead
  std::vector<std::string> triggers;
  std::vector<std::string> preserved;  // control tokens that are part of the answer's text
  std::vector<std::string> stops;
  bool thinks = false;  // the template marks reasoning
  std::string thinking_start;
  std::vector<std::string> thinking_ends;
  int kind = 0;
  std::string parser;
};

// What a model file's template says. Throws Error with the library's reason.
class ChatTemplate {
 public:
  ChatTemplate(const std::string& source, const std::string& bos, const std::string& eos);
  ~ChatTemplate();

  ChatFormat apply(const Conversation& conversation) const;

  // "supports_tools" and the like.
  std::map<std::string, bool> capabilities() const;

 private:
  struct Library;
  std::unique_ptr<Library> library_;
};

// Reads answers of one format. Throws Error where the library finds that the answer does not follow
// it.
class AnswerParser {
 public:
  AnswerParser(int kind, const std::string& parser, const std::string& generation_prompt);
  ~AnswerParser();

  ChatMessage parse(const std::string& answer, bool partial) const;

 private:
  struct Library;
  std::unique_ptr<Library> library_;
};

}  // namespace lmx

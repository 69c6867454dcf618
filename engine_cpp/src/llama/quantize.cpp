#include "lmx/llama/quantize.hpp"

#include <unistd.h>

#include <array>
#include <filesystem>
#include <string_view>
#include <utility>

#include "lmx/base/errors.hpp"
#include "lmx/base/log.hpp"
#include "lmx/memory/estimator.hpp"

namespace lmx {
namespace {

// The names that users of GGUF files know them by.
constexpr std::array<std::pair<std::string_view, llama_ftype>, 20> kFormats = {{
    {"F32", LLAMA_FTYPE_ALL_F32},          {"F16", LLAMA_FTYPE_MOSTLY_F16},
    {"BF16", LLAMA_FTYPE_MOSTLY_BF16},     {"Q8_0", LLAMA_FTYPE_MOSTLY_Q8_0},
    {"Q6_K", LLAMA_FTYPE_MOSTLY_Q6_K},     {"Q5_0", LLAMA_FTYPE_MOSTLY_Q5_0},
    {"Q5_1", LLAMA_FTYPE_MOSTLY_Q5_1},     {"Q5_K_S", LLAMA_FTYPE_MOSTLY_Q5_K_S},
    {"Q5_K_M", LLAMA_FTYPE_MOSTLY_Q5_K_M}, {"Q4_0", LLAMA_FTYPE_MOSTLY_Q4_0},
    {"Q4_1", LLAMA_FTYPE_MOSTLY_Q4_1},     {"Q4_K_S", LLAMA_FTYPE_MOSTLY_Q4_K_S},
    {"Q4_K_M", LLAMA_FTYPE_MOSTLY_Q4_K_M}, {"IQ4_NL", LLAMA_FTYPE_MOSTLY_IQ4_NL},
    {"IQ4_XS", LLAMA_FTYPE_MOSTLY_IQ4_XS}, {"Q3_K_S", LLAMA_FTYPE_MOSTLY_Q3_K_S},
    {"Q3_K_M", LLAMA_FTYPE_MOSTLY_Q3_K_M}, {"Q3_K_L", LLAMA_FTYPE_MOSTLY_Q3_K_L},
    {"Q2_K", LLAMA_FTYPE_MOSTLY_Q2_K},     {"TQ2_0", LLAMA_FTYPE_MOSTLY_TQ2_0},
}};

llama_ftype format_of(const std::string& name) {
  std::string names;
  for (const auto& [known, type] : kFormats) {
    if (known == name) return type;
    names += (names.empty() ? "" : ", ") + std::string(known);
  }
  throw InvalidRequest("there is no weight format '" + name + "'; use one of " + names);
}

}  // namespace

void quantize(const std::string& source, const std::string& target, const std::string& format,
              std::int32_t threads) {
  const llama_ftype type = format_of(format);
  const FileIdentity file = identify(source);
  std::error_code error;
  if (std::filesystem::equivalent(source, target, error)) {
    throw InvalidRequest("source and target are the same file; give another target");
  }
  self_check();

  // Written aside and renamed, so that a half-written model is never found under its name.
  const std::string partial = target + "." + std::to_string(getpid()) + ".partial";
  llama_model_quantize_params params = llama_model_quantize_default_params();
  params.ftype = type;
  params.nthread = threads;
  params.allow_requantize = true;
  const ErrorCapture errors;
  const auto status = llama_model_quantize(file.path.c_str(), partial.c_str(), &params);
  if (status == 0) std::filesystem::rename(partial, target, error);
  if (status == 0 && !error) return;
  const std::string reason = status != 0 ? errors.reason("reason unknown") : error.message();
  std::filesystem::remove(partial, error);
  throw Error(source + ": cannot be quantised to " + target + ": " + reason);
}

}  // namespace lmx

#include "lmx/memory/estimator.hpp"

#include <sys/stat.h>

#include <algorithm>
#include <array>
#include <cstring>
#include <limits>
#include <span>

#include "lmx/base/checksum.hpp"
#include "lmx/base/errors.hpp"
#include "lmx/llama/gguf_header.hpp"

namespace lmx {
namespace {

constexpr std::uint32_t kNoLimit = std::numeric_limits<std::uint32_t>::max();
constexpr std::size_t kOpenFiles = 8;  // vocabularies kept in memory

std::string metadata(const llama_model* model, const char* key) {
  std::array<char, 256> text{};
  const auto length = llama_model_meta_val_str(model, key, text.data(), text.size());
  return length < 0 ? std::string() : std::string(text.data());
}

std::string token_text(const llama_vocab* vocab, llama_token token) {
  return token == LLAMA_TOKEN_NULL ? std::string() : llama_vocab_get_text(vocab, token);
}

// As the file's metadata number them.
std::string pooling_name(const std::string& number) {
  if (number == "1") return "mean";
  if (number == "2") return "cls";
  if (number == "3") return "last";
  return number == "4" ? "rank" : "";
}

ModelInfo describe(const llama_model* model, const FileIdentity& identity) {
  const llama_vocab* vocab = llama_model_get_vocab(model);
  ModelInfo info;
  info.path = identity.path;
  info.size_bytes = identity.size;
  info.arch = metadata(model, "general.architecture");
  info.name = metadata(model, "general.name");
  info.quantization = llama_ftype_name(llama_model_ftype(model));
  info.n_params = llama_model_n_params(model);
  info.n_layers = static_cast<std::uint32_t>(llama_model_n_layer(model));
  info.n_ctx_train = static_cast<std::uint32_t>(llama_model_n_ctx_train(model));
  info.n_vocab = static_cast<std::uint32_t>(llama_vocab_n_tokens(vocab));
  if (const char* text = llama_model_chat_template(model, nullptr)) info.chat_template = text;
  info.bos = token_text(vocab, llama_vocab_bos(vocab));
  info.adds_bos = llama_vocab_get_add_bos(vocab);
  info.eos = token_text(vocab, llama_vocab_eos(vocab));
  info.generates = metadata(model, (info.arch + ".attention.causal").c_str()) != "false";
  info.pooling = pooling_name(metadata(model, (info.arch + ".pooling_type").c_str()));
  info.n_embd = static_cast<std::uint32_t>(llama_model_n_embd_out(model));
  return info;
}

// Neither text from a prompt nor vectors can be had of the others.
bool is_usable(const llama_model* model) {
  return llama_model_has_decoder(model) && !llama_model_has_encoder(model) &&
         !llama_model_is_diffusion(model);
}

std::size_t longest_token(const llama_vocab* vocab) {
  std::size_t longest = 1;
  for (llama_token token = 0; token < llama_vocab_n_tokens(vocab); ++token) {
    longest = std::max(longest, std::strlen(llama_vocab_get_text(vocab, token)));
  }
  return longest;
}

std::int64_t nanoseconds(const timespec& time) {
  return static_cast<std::int64_t>(time.tv_sec) * 1'000'000'000 + time.tv_nsec;
}

struct stat look_at(const std::string& path) {
  struct stat info{};
  if (stat(path.c_str(), &info) != 0) {
    throw ModelFileError(path + ": cannot be read: " + std::strerror(errno) + "; check the path");
  }
  if (!S_ISREG(info.st_mode)) {
    throw ModelFileError(path + ": not a regular file; give the path of a .gguf file");
  }
  return info;
}

#ifdef __APPLE__
std::int64_t modified_ns(const struct stat& info) {
  return nanoseconds(info.st_mtimespec);
}
std::int64_t changed_ns(const struct stat& info) {
  return nanoseconds(info.st_ctimespec);
}
#else
std::int64_t modified_ns(const struct stat& info) {
  return nanoseconds(info.st_mtim);
}
std::int64_t changed_ns(const struct stat& info) {
  return nanoseconds(info.st_ctim);
}
#endif

FileIdentity identity_of(const std::string& path, const struct stat& info) {
  return {path, static_cast<std::uint64_t>(info.st_dev), info.st_ino,
          static_cast<std::uint64_t>(info.st_size), modified_ns(info)};
}

PromptTooLong too_long(const std::string& amount, std::uint32_t limit) {
  return PromptTooLong("the prompt has " + amount + " but the context leaves room for " +
                       std::to_string(limit) + "; shorten it or raise n_ctx");
}

}  // namespace

FileIdentity identify(const std::string& path) {
  return identity_of(path, look_at(path));
}

DryModel::DryModel(FileIdentity identity, const Device& device, FileContent content)
    : identity_(std::move(identity)),
      content_(content),
      model_(load_model(identity_.path, device, LoadMode::dry)),
      info_(describe(model_.get(), identity_)) {
  if (llama_vocab_type(vocab()) == LLAMA_VOCAB_TYPE_NONE || info_.n_vocab == 0) {
    throw ModelFileError(identity_.path + ": has no vocabulary and cannot generate text");
  }
  if (!is_usable(model_.get())) {
    throw ModelFileError(identity_.path + ": a model of kind '" + info_.arch +
                         "' does not generate text from a prompt; use a decoder-only model");
  }
  longest_token_ = longest_token(vocab());
}

std::vector<llama_token> DryModel::tokenize(const std::string& text, std::uint32_t limit) const {
  const auto type = llama_vocab_type(vocab());
  const bool keeps_every_byte = type == LLAMA_VOCAB_TYPE_SPM || type == LLAMA_VOCAB_TYPE_BPE;
  if (text.size() > std::numeric_limits<std::int32_t>::max() / 4 ||
      (keeps_every_byte && text.size() / longest_token_ > limit)) {
    throw too_long(std::to_string(text.size()) + " bytes", limit);
  }
  std::vector<llama_token> tokens(text.size() + 2);  // no token is shorter than a byte
  const auto n = llama_tokenize(vocab(), text.data(), static_cast<std::int32_t>(text.size()),
                                tokens.data(), static_cast<std::int32_t>(tokens.size()),
                                /*add_special=*/true, /*parse_special=*/true);
  if (n < 0) throw InvalidRequest("the prompt cannot be tokenized by this model");
  tokens.resize(static_cast<std::size_t>(n));
  if (tokens.empty()) throw InvalidRequest("the prompt is empty; give at least one character");
  if (tokens.size() > limit) throw too_long(std::to_string(tokens.size()) + " tokens", limit);
  return tokens;
}

std::vector<llama_token> DryModel::tokenize_cut(const std::string& text,
                                                std::uint32_t limit) const {
  auto tokens = tokenize(text.substr(0, longest_token_ * limit * std::size_t{4}), kNoLimit);
  if (tokens.size() <= limit) return tokens;
  const bool ends = llama_vocab_get_add_eos(vocab()) || llama_vocab_get_add_sep(vocab());
  const llama_token last = tokens.back();
  tokens.resize(limit);
  if (ends) tokens.back() = last;
  return tokens;
}

std::vector<llama_token> DryModel::control_tokens(const std::vector<std::string>& texts) const {
  std::vector<llama_token> tokens;
  for (const std::string& text : texts) {
    llama_token token = 0;
    const auto n = llama_tokenize(vocab(), text.data(), static_cast<std::int32_t>(text.size()),
                                  &token, 1, /*add_special=*/false, /*parse_special=*/true);
    if (n == 1) tokens.push_back(token);
  }
  return tokens;
}

Footprint DryModel::footprint(const ContextSpec& spec, const Device& device) const {
  ContextHandle context;
  try {
    context = make_context(model_.get(), spec, 1);
  } catch (const OutOfMemory&) {
    throw;
  } catch (const Error& error) {
    throw InvalidRequest(identity_.path + ": " + error.what());
  }
  return lmx::footprint(context.get(), spec, device);
}

ModelLayers DryModel::layers(const Device& device, Bytes weights) const {
  ModelLayers layers;
  try {
    layers.map = map_layers(model_.get(), device);
  } catch (const Error& error) {
    layers.map.refusal = error.what();
  }
  layers.sizes = layer_sizes(model_.get(), layers.map, device, weights);
  return layers;
}

Estimator::Version Estimator::version_of(const std::string& path) {
  const struct stat info = look_at(path);
  return {identity_of(path, info), changed_ns(info)};
}

FileContent Estimator::content_of(const Version& version) {
  const FileIdentity& file = version.identity;
  const auto header = read_gguf_header(file.path);
  if (header && !header->split) return {header->checksum, file.size};
  const std::string all = file.path + " " + std::to_string(file.device) + " " +
                          std::to_string(file.inode) + " " + std::to_string(file.modified_ns) +
                          " " + std::to_string(version.changed_ns);
  return {checksum(std::as_bytes(std::span(all))), file.size};
}

std::shared_ptr<const DryModel> Estimator::open(const std::string& path) {
  constexpr int kTries = 3;
  const std::lock_guard lock(mutex_);
  for (int i = 0; i < kTries; ++i) {
    const Version version = version_of(path);
    const auto seen = seen_.find(path);
    const bool known = seen != seen_.end() && seen->second.first == version;
    const FileContent content = known ? seen->second.second : content_of(version);
    auto model = open_locked(version, content);
    if (version_of(path) == version) {
      seen_[path] = {version, content};
      return model;
    }
    recent_.remove(model);  // written to meanwhile: nobody knows what was read
  }
  throw ModelFileError(path + ": changes while it is read; wait until it is complete");
}

std::shared_ptr<const DryModel> Estimator::open_locked(const Version& version,
                                                       const FileContent& content) {
  const auto found = std::ranges::find_if(recent_, [&](const auto& model) {
    return model->identity() == version.identity && model->content() == content;
  });
  if (found != recent_.end()) {
    recent_.splice(recent_.begin(), recent_, found);
    return recent_.front();
  }
  recent_.push_front(std::make_shared<const DryModel>(version.identity, device_, content));
  if (recent_.size() > kOpenFiles) recent_.pop_back();
  return recent_.front();
}

Footprint Estimator::estimate(const std::shared_ptr<const DryModel>& model,
                              const ContextSpec& wanted) {
  const ContextSpec spec = normalised(wanted);
  const std::lock_guard lock(mutex_);
  auto& of_file = known_[model->content()];
  const auto found = of_file.find(spec);
  if (found != of_file.end()) return found->second;
  return of_file[spec] = model->footprint(spec, device_);
}

std::shared_ptr<const ModelLayers> Estimator::layers(const std::shared_ptr<const DryModel>& model) {
  ContextSpec small;
  small.n_ctx = 256;
  const Bytes weights = estimate(model, small).weights;
  const std::lock_guard lock(mutex_);
  auto& known = layers_[model->content()];
  if (!known) known = std::make_shared<const ModelLayers>(model->layers(device_, weights));
  return known;
}

Footprint Estimator::estimate(const std::string& path, const ContextSpec& spec) {
  return estimate(open(path), spec);
}

}  // namespace lmx

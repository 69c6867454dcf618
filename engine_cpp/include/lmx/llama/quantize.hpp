// Makes another GGUF file of a model, with its weights in another format.
#pragma once

#include <cstdint>
#include <string>

namespace lmx {

// `format` is a name such as "Q8_0" or "Q4_K_M". Throws InvalidRequest for an unknown format,
// ModelFileError when the source cannot be read, Error when the target cannot be written.
void quantize(const std::string& source, const std::string& target, const std::string& format,
              std::int32_t threads);

}  // namespace lmx

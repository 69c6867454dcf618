// Huge pages for weights in host memory: each decode reads all of them, and looking up the places
// of small pages takes a good part of that time.
#pragma once

#include "llama.h"

namespace lmx {

// Moves the model's weights into huge pages where the system has them (Linux 6.1); otherwise, and
// where memory is too scattered for it, nothing changes. Takes about as long as copying them.
void use_huge_pages(const llama_model* model);

}  // namespace lmx

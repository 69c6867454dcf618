#include "lmx/base/errors.hpp"

namespace lmx {

NeverFits::NeverFits(const std::string& what, Denial numbers)
    : Error(what + " can never fit: it needs " + mib(numbers.needs) + ", the cap is " +
            mib(numbers.cap) + " (" + mib(numbers.free) +
            " free now); use a smaller model or context, or raise the cap"),
      numbers_(numbers) {}

}  // namespace lmx

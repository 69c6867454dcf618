#include "check.hpp"

int main() {
  int failed = 0;
  for (const check::Case& test : check::cases()) {
    const int before = check::failures();
    test.body();
    if (check::failures() == before) continue;
    failed += 1;
    std::fprintf(stderr, "FAILED: %s\n", test.name);
  }
  const int all = static_cast<int>(check::cases().size());
  std::printf("%d passed, %d failed\n", all - failed, failed);
  return failed == 0 ? 0 : 1;
}

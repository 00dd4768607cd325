#include "drill/run.hpp"

#include <chrono>

namespace haechi::drill {

Nanos now_ns() {
  return std::chrono::duration_cast<std::chrono::nanoseconds>(std::chrono::steady_clock::now().time_since_epoch())
      .count();
}

}  // namespace haechi::drill

#include "drill/wire.hpp"

#include <algorithm>

namespace haechi::drill {

std::optional<Nanos> Wire::admit(Nanos now, std::size_t bytes) {
  const State s = state();
  if (s.cut) return std::nullopt;
  Nanos leaves = now + s.delay;
  if (s.bytes_per_second > 0) {
    const Nanos starts = std::max(now, free_at_);
    if (starts - now > kQueueMax) return std::nullopt;
    free_at_ = starts + static_cast<Nanos>(static_cast<double>(bytes) * 1e9 / static_cast<double>(s.bytes_per_second));
    leaves = free_at_ + s.delay;
  } else {
    free_at_ = 0;
  }
  last_ = std::max(leaves, last_);
  return last_;
}

}  // namespace haechi::drill

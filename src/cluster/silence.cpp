#include "cluster/silence.hpp"

#include <algorithm>

namespace haechi::cluster {
namespace {
constexpr std::size_t kRemembered = 64;
}

void Silence::asked(Part part, Instant when) {
  auto& open = parts_[static_cast<std::size_t>(part)].open;
  open.push_back(when);
  if (open.size() > kRemembered) open.pop_front();
}

void Silence::heard(Part, Instant when) {
  if (when < heard_) return;
  forget(when);
}

void Silence::refused(Part part, Instant) { ++parts_[static_cast<std::size_t>(part)].refusals; }

void Silence::forget(Instant now) {
  heard_ = now;
  parts_ = {};
}

Verdict Silence::verdict(Instant now) const {
  const bool asked_enough = std::ranges::all_of(parts_, [&](const Asked& p) {
    const auto old = std::ranges::count_if(p.open, [&](Instant when) { return now - when >= kPatience; });
    return std::max(static_cast<std::size_t>(old), p.refusals) >= kAskedMin;
  });
  if (!asked_enough) return {};
  return {.silent = now - heard_,
          .refuses = std::ranges::all_of(parts_, [](const Asked& p) { return p.refusals >= kAskedMin; })};
}

}  // namespace haechi::cluster

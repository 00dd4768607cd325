#pragma once
// The database's planned move to another site. Patroni does it; what is added is that
// everybody looks at the right moment instead of once a second, so that writes stand
// still for a few hundred milliseconds.

#include <string>

#include "base/loop.hpp"
#include "cluster/dcs.hpp"

namespace haechi::cluster {

/// Returns when `candidate` leads, and how long that took. Errc::Conflict: Patroni refused; Errc::Timeout.
Task<Result<Duration>> hand_over(Loop& loop, Dcs& dcs, View before, std::string candidate, Duration at_most);

}  // namespace haechi::cluster

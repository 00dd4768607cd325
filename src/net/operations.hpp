#pragma once
// What operators and their monitors ask of a node.

#include <functional>

#include "net/router.hpp"

namespace haechi::net {

/// `/metrics` (Prometheus), `/health/live` (the loop turns) and `/health/ready` (`ready`
/// says that requests can be served; its message is shown). `metrics` outlives the router.
void add_operations_routes(Router& router, Metrics& metrics, std::function<Result<>()> ready);

}  // namespace haechi::net

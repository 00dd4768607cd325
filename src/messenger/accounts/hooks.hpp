#pragma once
#include <vector>

#include "identity/types.hpp"

namespace haechi::messenger {

/// What happens to the messenger's tables in the very transaction that makes,
/// changes or ends an account. Also for commands that run without a node.
std::vector<identity::Hooks> account_hooks();

}  // namespace haechi::messenger

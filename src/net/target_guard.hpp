#pragma once
// Private to net/: which addresses our own requests may reach.

#include <sys/socket.h>

#include <string>
#include <vector>

namespace haechi::net {

/// As target_allowed(), for the address that is about to be connected to. Unknown families are refused.
bool target_allowed(const sockaddr& address, const std::vector<std::string>& allowed_private_ranges);

}  // namespace haechi::net

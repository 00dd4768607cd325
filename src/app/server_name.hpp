#pragma once
#include <string_view>

#include "store/store.hpp"

namespace haechi::app {

/// Schema of what the node remembers of itself.
std::span<const store::Migration> node_migrations();

/// The server name is part of every user id: it is written down at the first start
/// and must stay. Errc::Conflict names both.
Result<> check_server_name(store::Database& db, std::string_view server_name);

}  // namespace haechi::app

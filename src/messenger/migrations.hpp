#pragma once
#include <span>

#include "store/store.hpp"

namespace haechi::messenger {

/// The messenger's schema, for store::migrate.
std::span<const store::Migration> migrations();

}  // namespace haechi::messenger

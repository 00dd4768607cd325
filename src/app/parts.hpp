#pragma once
// What a running node and a command on a resting data folder have in common.

#include <memory>
#include <vector>

#include "app/config.hpp"
#include "identity/identity.hpp"
#include "store/store.hpp"

namespace haechi::app {

/// The store that the settings name; makes the data folder. Errc::Conflict when it is in use by a
/// process that shares it with nobody.
Result<std::unique_ptr<store::Database>> open_store(const Config& config);

/// The same with its schema brought up to date: for commands. Says so where a node is in the way.
Result<std::unique_ptr<store::Database>> open_schema(const Config& config);

/// Every module's schema, in the order of need.
std::vector<store::Migration> all_migrations();

identity::Options identity_options(const Config& config);
/// No limit when the operator switched limits off.
identity::Rate rate_of(const Config& config, const RateConfig& rate);

}  // namespace haechi::app

#pragma once
// SQL of account data and push rules.

#include <optional>
#include <string>
#include <vector>

#include "messenger/account/ports.hpp"
#include "store/store.hpp"

namespace haechi::messenger::repo {

struct StoredDatum {
  AccountDatum datum;  ///< content "{}" when deleted
  bool deleted = false;
};

/// Nothing when it never was or was deleted.
std::optional<std::string> account_datum(store::Connection& c, std::string_view user, std::string_view room,
                                         std::string_view type);
/// Those with after < pos <= upto.
std::vector<StoredDatum> account_data_between(store::Connection& c, std::string_view user, Position after,
                                              Position upto);
/// Without `content`: deleted.
void put_account_datum(store::Connection& c, std::string_view user, std::string_view room, std::string_view type,
                       const std::optional<std::string>& content, Position pos);
void delete_account_data(store::Connection& c, std::string_view user);

std::optional<std::string> push_rules(store::Connection& c, std::string_view user);
Position push_rules_pos(store::Connection& c, std::string_view user);
void put_push_rules(store::Connection& c, std::string_view user, std::string_view rules, Position pos);

}  // namespace haechi::messenger::repo

#pragma once
// SQL of profiles and of the user directory.

#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "base/json.hpp"
#include "journal/journal.hpp"
#include "store/store.hpp"

namespace haechi::messenger::repo {

/// Every field, the name and the picture among them; nothing for a user without a row.
std::optional<json::object> profile(store::Connection& c, std::string_view user);
void put_profile(store::Connection& c, std::string_view user, const json::object& fields, journal::Position pos);

struct FoundUser {
  std::string user_id;
  std::optional<std::string> displayname, avatar_url;
};
/// Users whose name or localpart contains `term` and whom `searcher` may know of:
/// those in public rooms, those who share a room. `exact` is a whole user id, found
/// wherever it is; empty for none.
std::vector<FoundUser> search_users(store::Connection& c, std::string_view searcher, std::string_view term,
                                    std::string_view exact, std::int64_t limit);

/// Ids of the rooms that both are joined to.
std::vector<std::string> mutual_rooms(store::Connection& c, std::string_view a, std::string_view b);

/// `term` as a LIKE pattern for "contains", with \ as its escape.
std::string like_contains(std::string_view term);

}  // namespace haechi::messenger::repo

#pragma once
#include <optional>
#include <string>
#include <vector>

#include "base/clock.hpp"
#include "store/store.hpp"

namespace haechi::messenger::repo::rooms {

/// Empty when there never was one.
std::string membership(store::Connection& c, std::int64_t room, std::string_view user);
/// False when there was nothing to forget.
bool forget(store::Connection& c, std::int64_t room, std::string_view user);
std::vector<std::string> joined_rooms(store::Connection& c, std::string_view user);

struct ReportRow {
  std::string reporter;
  std::optional<std::string> room_id, event_id, user_id;
  std::optional<std::int64_t> score;
  std::optional<std::string> reason;
};
void insert_report(store::Connection& c, const ReportRow& report, WallMs now);

}  // namespace haechi::messenger::repo::rooms

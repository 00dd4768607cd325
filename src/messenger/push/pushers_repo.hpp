#pragma once
// SQL of pushers.

#include <functional>
#include <string>
#include <vector>

#include "messenger/push/pushers.hpp"

namespace haechi::messenger::repo {

void each_pusher(store::Connection& c, const std::function<void(Pusher)>& f);
void put_pusher(store::Connection& c, const Pusher& p, Position pos);
/// How many rows were deleted.
std::int64_t delete_pusher(store::Connection& c, std::string_view user, std::string_view app_id,
                           std::string_view pushkey);
std::int64_t delete_pushers_of_device(store::Connection& c, std::string_view user, std::string_view device);
std::vector<std::string> pusher_owners(store::Connection& c, std::string_view app_id, std::string_view pushkey);
std::int64_t count_pushers(store::Connection& c, std::string_view user);

}  // namespace haechi::messenger::repo

#pragma once
#include <optional>
#include <string>
#include <vector>

#include "base/clock.hpp"
#include "store/store.hpp"

namespace haechi::messenger::repo::directory {

struct AliasRow {
  std::int64_t room_num = 0;
  std::string room_id;
  std::string creator;
};
std::optional<AliasRow> find_alias(store::Connection& c, std::string_view alias);
std::vector<std::string> aliases_of(store::Connection& c, std::int64_t room_num);
std::vector<std::int64_t> published_rooms(store::Connection& c);

void insert_alias(store::Connection& c, std::string_view alias, std::int64_t room_num, std::string_view creator,
                  WallMs now);
/// False when it was not there.
bool delete_alias(store::Connection& c, std::string_view alias);
void move_aliases(store::Connection& c, std::int64_t from, std::int64_t to);
void set_published(store::Connection& c, std::int64_t room_num, bool published);

}  // namespace haechi::messenger::repo::directory

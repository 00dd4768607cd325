#include "messenger/account/repo.hpp"

namespace haechi::messenger::repo {
namespace {

using store::Row;
using store::Sql;

constexpr Sql kGet{"SELECT content FROM account_data WHERE user_id = $1 AND room_id = $2 AND type = $3"};
constexpr Sql kBetween{
    "SELECT room_id, type, content FROM account_data WHERE user_id = $1 AND pos > $2 AND pos <= $3 ORDER BY pos"};
constexpr Sql kPut{
    "INSERT INTO account_data (user_id, room_id, type, content, pos) VALUES ($1, $2, $3, $4, $5) "
    "ON CONFLICT (user_id, room_id, type) DO UPDATE SET content = excluded.content, pos = excluded.pos"};
constexpr Sql kDeleteAll{"DELETE FROM account_data WHERE user_id = $1"};
constexpr Sql kRules{"SELECT rules FROM push_rules WHERE user_id = $1"};
constexpr Sql kRulesPos{"SELECT pos FROM push_rules WHERE user_id = $1"};
constexpr Sql kPutRules{
    "INSERT INTO push_rules (user_id, rules, pos) VALUES ($1, $2, $3) "
    "ON CONFLICT (user_id) DO UPDATE SET rules = excluded.rules, pos = excluded.pos"};
constexpr Sql kDeleteRules{"DELETE FROM push_rules WHERE user_id = $1"};

}  // namespace

std::optional<std::string> account_datum(store::Connection& c, std::string_view user, std::string_view room,
                                         std::string_view type) {
  const auto found = c.one(kGet, [](const Row& r) { return r.opt_str(0); }, user, room, type);
  return found ? *found : std::nullopt;
}

std::vector<StoredDatum> account_data_between(store::Connection& c, std::string_view user, Position after,
                                              Position upto) {
  return c.all(
      kBetween,
      [](const Row& r) {
        return StoredDatum{{.room_id = r.str(0), .type = r.str(1), .content = r.opt_str(2).value_or("{}")},
                           r.is_null(2)};
      },
      user, after, upto);
}

void put_account_datum(store::Connection& c, std::string_view user, std::string_view room, std::string_view type,
                       const std::optional<std::string>& content, Position pos) {
  c.put(kPut, user, room, type, content, pos);
}

void delete_account_data(store::Connection& c, std::string_view user) {
  c.put(kDeleteAll, user);
  c.put(kDeleteRules, user);
}

std::optional<std::string> push_rules(store::Connection& c, std::string_view user) {
  return c.one(kRules, [](const Row& r) { return r.str(0); }, user);
}

Position push_rules_pos(store::Connection& c, std::string_view user) { return c.one_i64(kRulesPos, user).value_or(0); }

void put_push_rules(store::Connection& c, std::string_view user, std::string_view rules, Position pos) {
  c.put(kPutRules, user, rules, pos);
}

}  // namespace haechi::messenger::repo

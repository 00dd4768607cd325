#include "messenger/profile/repo.hpp"

#include "base/text.hpp"
#include "messenger/profile/profiles.hpp"

namespace haechi::messenger::repo {
namespace {

using store::Row;
using store::Sql;

constexpr Sql kGet{"SELECT displayname, avatar_url, fields FROM profiles WHERE user_id = $1"};
constexpr Sql kPut{
    "INSERT INTO profiles (user_id, displayname, avatar_url, fields, pos) VALUES ($1, $2, $3, $4, $5) "
    "ON CONFLICT (user_id) DO UPDATE SET displayname = excluded.displayname, avatar_url = excluded.avatar_url, "
    "fields = excluded.fields, pos = excluded.pos"};

// $1 pattern, $2 who searches, $3 an exact user id, $4 limit, $5 what follows a localpart.
// Events are canonical JSON, so that the text of a public join rule is always the same.
constexpr Sql kSearch{
    "SELECT p.user_id, p.displayname, p.avatar_url FROM profiles p WHERE p.user_id = $3 OR ("
    " (LOWER(p.displayname) LIKE $1 ESCAPE '\\'"
    "  OR SUBSTR(p.user_id, 1, LENGTH(p.user_id) - LENGTH($5)) LIKE $1 ESCAPE '\\')"
    " AND (EXISTS (SELECT 1 FROM memberships m JOIN rooms r ON r.num = m.room_num"
    "   WHERE m.user_id = p.user_id AND m.membership = 'join' AND (r.published = 1 OR EXISTS ("
    "     SELECT 1 FROM room_state s JOIN events e ON e.pos = s.pos WHERE s.room_num = m.room_num"
    "     AND s.type = 'm.room.join_rules' AND s.state_key = '' AND e.pdu LIKE '%\"join_rule\":\"public\"%')))"
    "  OR (p.user_id <> $2 AND EXISTS (SELECT 1 FROM memberships mine JOIN memberships theirs"
    "   ON theirs.room_num = mine.room_num AND theirs.user_id = p.user_id AND theirs.membership = 'join'"
    "   WHERE mine.user_id = $2 AND mine.membership = 'join')))) "
    "ORDER BY CASE WHEN p.user_id = $3 THEN 0 ELSE 1 END, p.user_id LIMIT $4"};

constexpr Sql kMutualRooms{
    "SELECT r.room_id FROM memberships a JOIN memberships b ON b.room_num = a.room_num AND b.user_id = $2 "
    "AND b.membership = 'join' JOIN rooms r ON r.num = a.room_num "
    "WHERE a.user_id = $1 AND a.membership = 'join' ORDER BY r.room_id"};

std::optional<std::string> text_of(const json::object& fields, std::string_view key) {
  const auto text = get_string(fields, key);
  return text ? std::optional(std::string(*text)) : std::nullopt;
}

}  // namespace

std::optional<json::object> profile(store::Connection& c, std::string_view user) {
  return c.one(
      kGet,
      [](const Row& r) {
        auto fields = must_parse_object(r.text(2));
        if (!r.is_null(0)) fields[kDisplayname] = r.text(0);
        if (!r.is_null(1)) fields[kAvatarUrl] = r.text(1);
        return fields;
      },
      user);
}

void put_profile(store::Connection& c, std::string_view user, const json::object& fields, journal::Position pos) {
  json::object others = fields;
  others.erase(kDisplayname);
  others.erase(kAvatarUrl);
  c.put(kPut, user, text_of(fields, kDisplayname), text_of(fields, kAvatarUrl), to_text(others), pos);
}

std::string like_contains(std::string_view term) {
  std::string pattern = "%";
  for (const char c : term) {
    if (c == '%' || c == '_' || c == '\\') pattern += '\\';
    pattern += c;
  }
  return pattern + '%';
}

std::vector<FoundUser> search_users(store::Connection& c, std::string_view searcher, std::string_view term,
                                    std::string_view exact, std::int64_t limit) {
  return c.all(
      kSearch, [](const Row& r) { return FoundUser{r.str(0), r.opt_str(1), r.opt_str(2)}; },
      like_contains(to_lower_ascii(term)), searcher, exact, limit, searcher.substr(searcher.find(':')));
}

std::vector<std::string> mutual_rooms(store::Connection& c, std::string_view a, std::string_view b) {
  return c.all(kMutualRooms, [](const Row& r) { return r.str(0); }, a, b);
}

}  // namespace haechi::messenger::repo

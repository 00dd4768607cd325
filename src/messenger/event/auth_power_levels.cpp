// Rule "if type is m.room.power_levels": the form of the content, and that
// nobody gives or takes more than they have.
#include <algorithm>
#include <array>
#include <optional>

#include "messenger/event/auth_rules.hpp"
#include "messenger/event/canonical.hpp"
#include "messenger/event/ids.hpp"

namespace haechi::messenger::auth {
namespace {

constexpr std::array<std::string_view, 7> kLevels{"users_default", "events_default", "state_default", "ban",
                                                  "redact",        "kick",           "invite"};
constexpr std::array<std::string_view, 2> kLevelMaps{"events", "notifications"};

std::string quoted(std::string_view name) { return "'" + std::string(name) + "'"; }

// What canonical JSON can carry. Creators' infinite power would let greater ones through.
bool is_level(const json::value& v) {
  return v.is_int64() && v.get_int64() >= -kCanonicalIntMax && v.get_int64() <= kCanonicalIntMax;
}

Result<> check_map(const json::object& content, std::string_view name) {
  const auto* value = get(content, name);
  if (!value) return {};
  const auto* map = value->if_object();
  const bool fine =
      map && std::all_of(map->begin(), map->end(), [](const auto& entry) { return is_level(entry.value()); });
  return fine ? Result<>() : bad_json(quoted(name) + " must be an object of integers");
}

Result<> check_form(const Context& c, const json::object& content) {
  for (const auto name : kLevels) {
    const auto* value = get(content, name);
    if (value && !is_level(*value)) return bad_json(quoted(name) + " must be an integer");
  }
  for (const auto name : kLevelMaps) TRY_DO(check_map(content, name));
  TRY_DO(check_map(content, "users"));
  const auto* users = get_object(content, "users");
  if (!users) return {};
  for (const auto& entry : *users) {
    if (!parse_user_id(entry.key())) return bad_json("'users' must have user ids as keys");
    // v12: "If the users property in content contains the sender of the m.room.create event or
    // any of the additional_creators, reject."
    if (c.version.creators_are_infinite && c.levels.is_creator(entry.key())) {
      return bad_json("creators may not stand in m.room.power_levels");
    }
  }
  return {};
}

// "If the current value is greater than the sender's current power level, reject. If the new
// value is greater than the sender's current power level, reject."
Result<> check_change(std::string_view name, std::optional<std::int64_t> before, std::optional<std::int64_t> after,
                      std::int64_t own) {
  if (before == after) return {};
  if (before && *before > own) return forbidden("power level too low to change " + quoted(name));
  if (after && *after > own) return forbidden(quoted(name) + " would be above the sender's power level");
  return {};
}

template <class F>
Result<> for_each_change(const json::object* before, const json::object* after, F check) {
  static const json::object kNone;
  const auto& old_map = before ? *before : kNone;
  const auto& new_map = after ? *after : kNone;
  for (const auto& entry : old_map)
    TRY_DO(check(entry.key(), get_int(old_map, entry.key()), get_int(new_map, entry.key())));
  for (const auto& entry : new_map) {
    if (!old_map.contains(entry.key())) TRY_DO(check(entry.key(), std::nullopt, get_int(new_map, entry.key())));
  }
  return {};
}

}  // namespace

Result<> check_power_levels(const Context& c) {
  const auto& content = *c.event.content;
  TRY_DO(check_form(c, content));
  // "If there is no previous m.room.power_levels event in the room, allow."
  const auto* before = c.state.content("m.room.power_levels", "");
  if (!before) return {};
  const auto own = c.levels.user_level(c.event.sender);
  for (const auto name : kLevels) TRY_DO(check_change(name, get_int(*before, name), get_int(content, name), own));
  for (const auto name : kLevelMaps) {
    TRY_DO(for_each_change(get_object(*before, name), get_object(content, name),
                           [&](std::string_view key, auto was, auto is) { return check_change(key, was, is, own); }));
  }
  return for_each_change(
      get_object(*before, "users"), get_object(content, "users"),
      [&](std::string_view user, std::optional<std::int64_t> was, std::optional<std::int64_t> is) -> Result<> {
        if (was == is) return {};
        // "For each entry being changed in, or removed from, the users property, other than the
        // sender's own entry: if the current value is greater than or equal to the sender's
        // current power level, reject."
        if (was && user != c.event.sender && *was >= own) {
          return forbidden("power level too low to change that of " + std::string(user));
        }
        // "For each entry being added to, or changed in, the users property: if the new value is
        // greater than the sender's current power level, reject."
        if (is && *is > own) return forbidden("nobody can give more power than they have");
        return {};
      });
}

}  // namespace haechi::messenger::auth

#include "messenger/event/power_levels.hpp"

namespace haechi::messenger {

PowerLevels::PowerLevels(const RoomVersion& version, const json::object* content, const json::object* create,
                         std::string_view create_sender)
    : version_(&version), creator_(create_sender), has_event_(content != nullptr) {
  if (create) {
    if (!version.creator_is_sender) creator_ = get_string(*create, "creator").value_or(create_sender);
    if (version.creators_are_infinite) additional_creators_ = get_array(*create, "additional_creators");
  }
  if (!content) return;
  users_ = get_object(*content, "users");
  events_ = get_object(*content, "events");
  notifications_ = get_object(*content, "notifications");
  const auto level = [&](std::string_view key, std::int64_t fallback) {
    return get_int(*content, key).value_or(fallback);
  };
  users_default_ = level("users_default", 0);
  events_default_ = level("events_default", 0);
  state_default_ = level("state_default", 50);
  invite_ = level("invite", 0);
  kick_ = level("kick", 50);
  ban_ = level("ban", 50);
  redact_ = level("redact", 50);
}

bool PowerLevels::is_creator(std::string_view user) const {
  if (user.empty()) return false;
  if (user == creator_) return true;
  if (!additional_creators_) return false;
  for (const auto& other : *additional_creators_) {
    if (other.is_string() && sv(other.get_string()) == user) return true;
  }
  return false;
}

std::int64_t PowerLevels::user_level(std::string_view user) const {
  if (version_->creators_are_infinite && is_creator(user)) return kInfinite;
  if (!has_event_) return is_creator(user) ? 100 : 0;
  if (users_) {
    if (const auto own = get_int(*users_, user)) return *own;
  }
  return users_default_;
}

std::int64_t PowerLevels::event_level(std::string_view type, bool is_state) const {
  if (events_) {
    if (const auto own = get_int(*events_, type)) return *own;
  }
  return is_state ? state_default_ : events_default_;
}

std::int64_t PowerLevels::notification(std::string_view key) const {
  return notifications_ ? get_int(*notifications_, key).value_or(50) : 50;
}

}  // namespace haechi::messenger

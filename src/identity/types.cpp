#include "identity/types.hpp"

#include "base/json.hpp"

namespace haechi::identity {

std::string user_to_feed(const UserRecord& u) {
  return to_text(json::object{{"num", u.num},
                              {"kind", static_cast<int>(u.kind)},
                              {"created_ms", u.created_ms},
                              {"admin", u.admin},
                              {"deactivated", u.deactivated},
                              {"locked", u.locked},
                              {"suspended", u.suspended},
                              {"erased", u.erased},
                              {"has_password", u.has_password}});
}

UserRecord user_from_feed(std::string_view user_id, std::string_view data) {
  const auto o = must_parse_object(data);
  UserRecord u;
  u.user_id = user_id;
  u.num = get_int(o, "num").value_or(0);
  u.kind = static_cast<UserKind>(get_int(o, "kind").value_or(0));
  u.created_ms = get_int(o, "created_ms").value_or(0);
  u.admin = get_flag(o, "admin");
  u.deactivated = get_flag(o, "deactivated");
  u.locked = get_flag(o, "locked");
  u.suspended = get_flag(o, "suspended");
  u.erased = get_flag(o, "erased");
  u.has_password = get_flag(o, "has_password");
  return u;
}

}  // namespace haechi::identity

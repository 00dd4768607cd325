#pragma once
// Between the files of the authorization rules only.

#include "messenger/event/auth.hpp"
#include "messenger/event/event_errc.hpp"

namespace haechi::messenger::auth {

struct Context {
  const RoomVersion& version;
  const AuthEvent& event;
  const StateView& state;
  const PowerLevels& levels;
};

inline std::unexpected<Error> forbidden(std::string why) { return fail(EventErrc::Forbidden, std::move(why)); }
inline std::unexpected<Error> bad_json(std::string why) { return fail(EventErrc::BadJson, std::move(why)); }

Result<> check_create(const RoomVersion& version, const AuthEvent& event);
Result<> check_member(const Context& c);
Result<> check_power_levels(const Context& c);

}  // namespace haechi::messenger::auth

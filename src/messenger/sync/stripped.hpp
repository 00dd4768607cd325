#pragma once
#include <string>

#include "messenger/room/room.hpp"

namespace haechi::messenger {

/// The stripped state that an invited or knocking user is shown, as a JSON array:
/// what the room is, and their own member event (with its inviter).
std::string stripped_state(const Room& room, std::string_view user);

}  // namespace haechi::messenger

#include "messenger/event/room_version.hpp"

#include <array>

namespace haechi::messenger {
namespace {
constexpr std::array kVersions{&kRoomVersion10, &kRoomVersion11, &kRoomVersion12};
}

std::span<const RoomVersion* const> room_versions() noexcept { return kVersions; }

const RoomVersion* find_room_version(std::string_view id) noexcept {
  for (const auto* v : kVersions) {
    if (v->id == id) return v;
  }
  return nullptr;
}

}  // namespace haechi::messenger

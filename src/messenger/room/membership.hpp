#pragma once
#include <string_view>

namespace haechi::messenger {

enum class Membership : unsigned char { None, Invite, Join, Leave, Ban, Knock };

constexpr Membership membership_of(std::string_view text) {
  if (text == "join") return Membership::Join;
  if (text == "invite") return Membership::Invite;
  if (text == "leave") return Membership::Leave;
  if (text == "ban") return Membership::Ban;
  if (text == "knock") return Membership::Knock;
  return Membership::None;
}

constexpr std::string_view membership_text(Membership m) {
  switch (m) {
    case Membership::Invite: return "invite";
    case Membership::Join: return "join";
    case Membership::Leave: return "leave";
    case Membership::Ban: return "ban";
    case Membership::Knock: return "knock";
    case Membership::None: break;
  }
  return "";
}

}  // namespace haechi::messenger

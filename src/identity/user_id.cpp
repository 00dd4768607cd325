#include "identity/user_id.hpp"

#include <algorithm>

#include "base/text.hpp"

namespace haechi::identity {

Result<std::string> normalise_new_localpart(std::string_view wanted, std::string_view server_name) {
  if (wanted.empty()) return fail(Errc::InvalidUsername, "the user name may not be empty");
  std::string name = to_lower_ascii(wanted);
  const auto allowed = [](char c) {
    return (c >= 'a' && c <= 'z') || (c >= '0' && c <= '9') || std::string_view("._=/+-").contains(c);
  };
  if (!std::ranges::all_of(name, allowed)) {
    return fail(Errc::InvalidUsername, "a user name holds only the characters a-z, 0-9 and ._=/+-");
  }
  if (name.size() + server_name.size() + 2 > kUserIdBytesMax) {
    return fail(Errc::InvalidUsername, "the user id would be longer than 255 bytes");
  }
  if (std::ranges::all_of(name, [](char c) { return c >= '0' && c <= '9'; })) {
    return fail(Errc::InvalidUsername, "names of digits only are reserved for guests");
  }
  return name;
}

std::string make_user_id(std::string_view localpart, std::string_view server_name) {
  std::string id;
  id.reserve(localpart.size() + server_name.size() + 2);
  id += '@';
  id += localpart;
  id += ':';
  id += server_name;
  return id;
}

std::optional<std::string> resolve_login_name(std::string_view typed, std::string_view server_name) {
  if (typed.starts_with('@')) {
    const auto colon = typed.find(':');
    if (colon == std::string_view::npos) {
      typed.remove_prefix(1);
    } else {
      if (typed.substr(colon + 1) != server_name) return std::nullopt;
      typed = typed.substr(1, colon - 1);
    }
  }
  if (typed.empty() || typed.contains(':') || typed.contains('\0') || !is_valid_utf8(typed)) return std::nullopt;
  if (typed.size() + server_name.size() + 2 > kUserIdBytesMax) return std::nullopt;
  return make_user_id(typed, server_name);
}

bool is_valid_device_id(std::string_view id) {
  return !id.empty() && id.size() <= 255 && is_valid_utf8(id) &&
         std::ranges::none_of(id, [](char c) { return static_cast<unsigned char>(c) < 0x20 || c == 0x7F; });
}

}  // namespace haechi::identity

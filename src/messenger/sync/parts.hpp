#pragma once
// What both kinds of sync say of a room.

#include <string>
#include <string_view>
#include <vector>

#include "messenger/account/ports.hpp"
#include "messenger/user/user_state.hpp"

namespace haechi::messenger {

/// Appends `,` where something precedes within the same list or object.
inline void comma(std::string& out) {
  if (!out.empty() && out.back() != '{' && out.back() != '[') out += ',';
}

/// Appends `"key":["…","…"]`.
void append_strings(std::string& out, std::string_view key, const std::vector<std::string>& items);
/// Appends an account data event.
void append_datum(std::string& out, const AccountDatum& d);

/// At most five others, joined or invited before those who left, in the order they came.
std::vector<std::string_view> heroes(const Room& room, std::string_view self);

/// Content of m.receipt: what came with after < pos <= upto and this user may
/// see. With `only`, others' receipts just for those events. Empty when there is none.
std::string receipt_content(const Room& room, const UserState& user, Position after, Position upto,
                            const TextSet* only = nullptr);
/// Content of m.typing: who types now.
std::string typing_content(const Room& room, const UserState& user);

}  // namespace haechi::messenger

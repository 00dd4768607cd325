#include "messenger/sync/parts.hpp"

#include <algorithm>

#include "base/json.hpp"
#include "base/text.hpp"

namespace haechi::messenger {

void append_strings(std::string& out, std::string_view key, const std::vector<std::string>& items) {
  comma(out);
  append_json_string(out, key);
  out += ":[";
  for (const auto& item : items) {
    comma(out);
    append_json_string(out, item);
  }
  out += ']';
}

void append_datum(std::string& out, const AccountDatum& d) {
  comma(out);
  out += "{\"type\":";
  append_json_string(out, d.type);
  out += ",\"content\":" + d.content + '}';
}

std::vector<std::string_view> heroes(const Room& room, std::string_view self) {
  struct Candidate {
    Position pos;
    std::string_view user;
  };
  std::vector<Candidate> present, gone;
  for (const auto& [user, e] : room.members()) {
    if (user == self) continue;
    const auto m = membership_of(e->membership());
    if (m == Membership::Join || m == Membership::Invite) present.push_back({e->pos, user});
    else gone.push_back({e->pos, user});
  }
  auto& from = present.empty() ? gone : present;
  const std::size_t n = std::min<std::size_t>(5, from.size());
  std::ranges::partial_sort(from, from.begin() + static_cast<std::ptrdiff_t>(n), {}, &Candidate::pos);
  std::vector<std::string_view> out;
  for (std::size_t i = 0; i < n; ++i) out.push_back(from[i].user);
  return out;
}

std::string receipt_content(const Room& room, const UserState& user, Position after, Position upto,
                            const TextSet* only) {
  // event id -> type -> user -> receipt
  json::object content;
  for (const auto& [who, receipts] : room.receipts) {
    if (user.ignored.contains(who)) continue;
    for (const auto& [key, r] : receipts) {
      const auto& [type, thread] = key;
      if (r.pos <= after || r.pos > upto) continue;
      if (type == "m.read.private" && who != user.id) continue;
      if (only && who != user.id && !only->contains(r.event_id)) continue;
      auto& by_type = content[r.event_id];
      if (!by_type.is_object()) by_type.emplace_object();
      auto& by_user = by_type.get_object()[type];
      if (!by_user.is_object()) by_user.emplace_object();
      json::object one{{"ts", r.ts}};
      if (!thread.empty()) one["thread_id"] = thread;
      by_user.get_object()[who] = std::move(one);
    }
  }
  return content.empty() ? std::string() : to_text(content);
}

std::string typing_content(const Room& room, const UserState& user) {
  std::string out = "{\"user_ids\":[";
  for (const auto& [who, until] : room.typing.until) {
    if (user.ignored.contains(who)) continue;
    comma(out);
    append_json_string(out, who);
  }
  out += "]}";
  return out;
}

}  // namespace haechi::messenger

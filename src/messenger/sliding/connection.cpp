#include "messenger/sliding/connection.hpp"

#include <algorithm>
#include <array>

#include <fmt/format.h>

#include "base/text.hpp"

namespace haechi::messenger::sliding {

SentPtr Connection::sent(std::int64_t room) const {
  const auto it = rooms.find(room);
  return it == rooms.end() ? nullptr : it->second;
}

bool Connection::resume(std::string_view pos) {
  if (!last.empty() && pos == last) {
    for (auto& [room, now] : pending) rooms[room] = std::move(now);
    pending.clear();
    confirmed = last;
    return true;
  }
  if (!confirmed.empty() && pos == confirmed) {
    // The last answer was lost on its way.
    pending.clear();
    last.clear();
    view = {};
    return true;
  }
  return false;
}

void Connection::learn(std::span<const AccountDatum> data, Position upto) {
  direct.clear();
  tags.clear();
  data_upto = upto;
  for (const auto& d : data) {
    if (d.room_id.empty() && d.type == "m.direct") {
      const auto content = parse_json_object(d.content);
      if (!content) continue;
      for (const auto& [who, rooms_of] : *content) {
        if (!rooms_of.is_array()) continue;
        for (const auto& room : rooms_of.get_array()) {
          if (room.is_string()) direct.emplace(sv(room.get_string()));
        }
      }
    } else if (!d.room_id.empty() && d.type == "m.tag") {
      const auto content = parse_json_object(d.content);
      const auto* names = content ? get_object(*content, "tags") : nullptr;
      if (!names) continue;
      for (const auto& [name, _] : *names) tags[d.room_id].emplace(name);
    }
  }
}

void Connection::restart() {
  rooms.clear();
  pending.clear();
  confirmed.clear();
  last.clear();
  view = {};
}

std::string pos_text(std::int64_t counter, const SyncToken& token) {
  return fmt::format("{}/{}", counter, token.text());
}

std::optional<SyncToken> parse_pos(std::string_view text) {
  const auto slash = text.find('/');
  if (slash == std::string_view::npos || !parse_int(text.substr(0, slash))) return std::nullopt;
  return SyncToken::parse(text.substr(slash + 1));
}

ConnectionPtr Connections::find(const std::string& device, std::string_view id) {
  const auto it = by_key_.find(device);
  if (it == by_key_.end()) return nullptr;
  recent_.splice(recent_.begin(), recent_, it->second);
  auto& all = it->second->connections;
  const auto at = std::ranges::find(all, id, [](const ConnectionPtr& c) { return std::string_view(c->id); });
  if (at == all.end()) return nullptr;
  std::rotate(at, at + 1, all.end());
  return all.back();
}

ConnectionPtr Connections::make(const std::string& device, std::string_view id) {
  auto made = std::make_shared<Connection>();
  made->id = id;
  auto it = by_key_.find(device);
  if (it == by_key_.end()) {
    if (recent_.size() >= kDevicesMax) {
      count_ -= recent_.back().connections.size();
      by_key_.erase(recent_.back().key);
      recent_.pop_back();
    }
    recent_.push_front({.key = device, .connections = {}});
    it = by_key_.emplace(device, recent_.begin()).first;
  }
  auto& all = it->second->connections;
  if (all.size() >= kPerDeviceMax) {
    all.erase(all.begin());
    --count_;
  }
  all.push_back(made);
  ++count_;
  return made;
}

bool BumpStamps::lifts(std::string_view type) {
  static constexpr std::array<std::string_view, 9> kTypes{"m.room.create",
                                                          "m.room.message",
                                                          "m.room.encrypted",
                                                          "m.sticker",
                                                          "m.call.invite",
                                                          "m.poll.start",
                                                          "m.beacon_info",
                                                          "org.matrix.msc3381.poll.start",
                                                          "org.matrix.msc3672.beacon_info"};
  return std::ranges::find(kTypes, type) != kTypes.end();
}

Position BumpStamps::of(const Room& room) {
  if (known_.size() >= kKnownMax) known_.clear();
  auto& known = known_[room.num];
  if (known.seen == room.last_pos() && known.stamp > 0) return known.stamp;
  const auto& line = room.timeline();
  Position found = 0;
  for (auto it = line.rbegin(); it != line.rend() && (*it)->pos > known.seen; ++it) {
    if (lifts((*it)->type)) {
      found = (*it)->pos;
      break;
    }
  }
  // Nothing but other events in memory: the newest lifting one is before them.
  if (found == 0 && known.stamp == 0) found = std::max<Position>(room.timeline_from(), 1);
  known.stamp = std::max(known.stamp, found);
  known.seen = room.last_pos();
  return known.stamp;
}

}  // namespace haechi::messenger::sliding

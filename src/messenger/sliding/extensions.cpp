// The parts of a sliding sync that are not rooms: mail to the device, encryption,
// account data; and what is said beside rooms: receipts and typing.

#include <algorithm>

#include "base/text.hpp"
#include "messenger/sliding/pass.hpp"

namespace haechi::messenger {
namespace {

void append_room(std::string& out, std::string_view room, std::string_view type, std::string_view content) {
  comma(out);
  append_json_string(out, room);
  out += ":{\"type\":";
  append_json_string(out, type);
  out += ",\"content\":";
  out += content;
  out += '}';
}

}  // namespace

Task<Result<>> SlidingSync::extensions(Pass& pass) {
  const auto& ask = pass.request.body.extensions;
  const auto& device = pass.request.session->device_id;
  auto& out = pass.extensions;

  if (ask.to_device) {
    const Position since = std::min(ask.to_device_since, pass.now.pos);
    CO_TRY(const auto mail,
           co_await sources_.to_device.read(pass.user, device, since, pass.now.pos, ask.to_device_limit));
    comma(out);
    out += "\"to_device\":{\"next_batch\":\"" + std::to_string(mail.upto) + "\",\"events\":[";
    for (const auto& e : mail.events) {
      comma(out);
      out += e;
    }
    out += "]}";
    pass.anything |= !mail.events.empty();
  }

  if (ask.e2ee) {
    comma(out);
    out += "\"e2ee\":{";
    if (!pass.initial) {
      CO_TRY(const auto lists, co_await sources_.device_lists.between(pass.user, pass.since.pos, pass.now.pos));
      if (!lists.empty()) {
        out += "\"device_lists\":{";
        append_strings(out, "changed", lists.changed);
        append_strings(out, "left", lists.left);
        out += '}';
        pass.anything = true;
      }
    }
    CO_TRY(const auto counts, co_await sources_.key_counts.key_counts(pass.user, device));
    comma(out);
    out += "\"device_one_time_keys_count\":" + counts.one_time +
           ",\"device_unused_fallback_key_types\":" + counts.unused_fallback + '}';
  }

  if (ask.account_data.enabled) {
    CO_TRY_DO(co_await account_data(pass));
  }
  receipts_and_typing(pass);
  co_return {};
}

Task<Result<>> SlidingSync::account_data(Pass& pass) {
  auto& connection = *pass.connection;
  // What changed since the last answer, and all of the rooms that have had none yet.
  std::vector<AccountDatum> delta;
  if (!pass.initial && pass.user->account_data_pos > pass.since.pos) {
    CO_TRY(delta, co_await sources_.account_data.changed(pass.user, pass.since.pos, pass.now.pos));
  }
  TextSet fresh, following;
  if (!connection.view.settled) {
    for (const auto& [num, seen] : connection.view.rooms) {
      if (!seen.account_data) continue;
      const auto room = rooms_.find(num);
      if (!room) continue;
      const auto sent = connection.sent(num);
      if (sent && sent->account_data) {
        following.insert(room->id);
      } else {
        fresh.insert(room->id);
        pass.edit(num).account_data = true;
      }
    }
  }
  if ((pass.initial || !fresh.empty()) && !pass.all_data) {
    CO_TRY(pass.all_data, co_await sources_.account_data.changed(pass.user, 0, pass.now.pos));
  }

  std::string global;
  TextMap<std::string> rooms;
  if (pass.all_data) {
    for (const auto& d : *pass.all_data) {
      if (!d.room_id.empty() ? fresh.contains(d.room_id) : pass.initial) {
        append_datum(d.room_id.empty() ? global : rooms[d.room_id], d);
      }
    }
  }
  for (const auto& d : delta) {
    if (d.room_id.empty()) {
      append_datum(global, d);
    } else if (following.contains(d.room_id)) {
      append_datum(rooms[d.room_id], d);
    } else if (!fresh.contains(d.room_id)) {
      // Out of sight: all of it is sent when the room comes back.
      const auto room = rooms_.find(d.room_id);
      if (room && connection.sent(room->num)) pass.edit(room->num).account_data = false;
    }
  }
  if (global.empty() && rooms.empty()) co_return {};
  pass.anything = true;
  auto& out = pass.extensions;
  comma(out);
  out += "\"account_data\":{\"global\":[" + global + "],\"rooms\":{";
  for (const auto& [room, events] : rooms) {
    comma(out);
    append_json_string(out, room);
    out += ":[" + events + ']';
  }
  out += "}}";
  co_return {};
}

void SlidingSync::receipts_and_typing(Pass& pass) {
  const auto& ask = pass.request.body.extensions;
  auto& connection = *pass.connection;
  const bool look = !connection.view.settled || pass.user->ephemeral_stamp > pass.since.stamp;
  if (!look || (!ask.receipts.enabled && !ask.typing.enabled)) return;

  std::string receipts, typing;
  for (const auto& [num, seen] : connection.view.rooms) {
    const auto room = rooms_.find(num);
    if (!room || room->membership(pass.user->id) != Membership::Join) continue;
    const auto sent = connection.sent(num);
    const Position upto = sent ? sent->receipts_upto : 0;
    if (seen.receipts && room->last_receipt_pos > upto) {
      const auto timeline = pass.timelines.find(room->id);
      const auto* only = upto == 0 && timeline != pass.timelines.end() ? &timeline->second : nullptr;
      const auto content = receipt_content(*room, *pass.user, upto, pass.now.pos, only);
      if (!content.empty()) append_room(receipts, room->id, "m.receipt", content);
      pass.edit(num).receipts_upto = pass.now.pos;
    }
    if (seen.typing && (!sent || !sent->typing || room->typing.stamp > pass.since.stamp)) {
      // Nobody typing is only news to who was told of somebody.
      const bool first = !sent || !sent->typing;
      if (!first || !room->typing.until.empty())
        append_room(typing, room->id, "m.typing", typing_content(*room, *pass.user));
      if (first) pass.edit(num).typing = true;
    }
  }
  if (!receipts.empty()) {
    comma(pass.extensions);
    pass.extensions += "\"receipts\":{\"rooms\":{" + receipts + "}}";
    pass.anything = true;
  }
  if (!typing.empty()) {
    comma(pass.extensions);
    pass.extensions += "\"typing\":{\"rooms\":{" + typing + "}}";
    pass.anything = true;
  }
}

}  // namespace haechi::messenger

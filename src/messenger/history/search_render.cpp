// The answer of a search.

#include <algorithm>

#include <fmt/format.h>

#include "base/text.hpp"
#include "messenger/history/search.hpp"
#include "messenger/sync/token.hpp"

namespace haechi::messenger {
namespace {

void append_list(std::string& out, const std::vector<std::string>& texts) {
  out += '[';
  for (std::size_t i = 0; i < texts.size(); ++i) {
    if (i > 0) out += ',';
    append_json_string(out, texts[i]);
  }
  out += ']';
}

void append_group(std::string& out, std::string_view name,
                  const std::map<std::string, std::vector<std::string>>& groups,
                  const std::vector<std::string>& order) {
  append_json_string(out, name);
  out += ":{";
  for (std::size_t i = 0; i < order.size(); ++i) {
    if (i > 0) out += ',';
    append_json_string(out, order[i]);
    fmt::format_to(std::back_inserter(out), ":{{\"order\":{},\"results\":", i);
    append_list(out, groups.at(order[i]));
    out += '}';
  }
  out += '}';
}

}  // namespace

Task<Result<>> SearchApi::append_context(std::string& out, const SearchQuery::Context& context, Hit hit,
                                         std::string device) {
  Reader& reader = *hit.reader;
  const auto pos = hit.event->pos;
  const RoomEventFilter everything;
  CO_TRY(const auto earlier, co_await pages_.page(reader, pos, 0, context.before, Direction::Backward, everything));
  CO_TRY(const auto later,
         co_await pages_.page(reader, pos + 1, INT64_MAX, context.after, Direction::Forward, everything));
  out += ",\"context\":{\"events_before\":[";
  CO_TRY_DO(co_await pages_.append(out, reader, earlier.events, device, clock_.wall_ms()));
  out += "],\"events_after\":[";
  CO_TRY_DO(co_await pages_.append(out, reader, later.events, device, clock_.wall_ms()));
  fmt::format_to(std::back_inserter(out), "],\"start\":\"{}\",\"end\":\"{}\"", page_token(earlier.next),
                 page_token(later.next));
  if (context.profiles) {
    // As the senders called themselves then.
    TextSet senders{hit.event->sender};
    for (const auto* events : {&earlier.events, &later.events}) {
      for (const auto& e : *events) senders.insert(e->sender);
    }
    json::object profiles;
    for (const auto& sender : senders) {
      CO_TRY(const auto member, co_await rooms_.state_event_at(reader.room, "m.room.member", sender, pos));
      json::object profile;
      if (member) {
        for (const auto* key : {"displayname", "avatar_url"}) {
          if (const auto text = get_string(member->object(), key)) profile[key] = *text;
        }
      }
      profiles[sender] = std::move(profile);
    }
    out += ",\"profile_info\":" + to_text(profiles);
  }
  out += '}';
  co_return {};
}

Task<Result<std::string>> SearchApi::render(const SearchQuery& query, Findings& findings, std::string device) {
  std::map<std::string, std::vector<std::string>> by_room, by_sender;
  std::vector<std::string> room_order, sender_order;
  std::string out = "{\"search_categories\":{\"room_events\":{\"results\":[";
  for (std::size_t i = 0; i < findings.hits.size(); ++i) {
    const Hit& hit = findings.hits[i];
    fmt::format_to(std::back_inserter(out), "{}{{\"rank\":{:.6f},\"result\":", i > 0 ? "," : "", hit.rank);
    const std::vector<EventPtr> one{hit.event};
    CO_TRY_DO(co_await pages_.append(out, *hit.reader, one, device, clock_.wall_ms()));
    if (query.context) CO_TRY_DO(co_await append_context(out, *query.context, hit, device));
    out += '}';
    const auto note = [&](auto& groups, auto& order, const std::string& key) {
      auto& group = groups[key];
      if (group.empty()) order.push_back(key);
      group.push_back(hit.event->event_id);
    };
    note(by_room, room_order, hit.reader->room->id);
    note(by_sender, sender_order, hit.event->sender);
  }
  fmt::format_to(std::back_inserter(out), "],\"count\":{},\"highlights\":", findings.count);
  append_list(out, query.words);
  if (query.group_by_room || query.group_by_sender) {
    out += ",\"groups\":{";
    if (query.group_by_room) append_group(out, "room_id", by_room, room_order);
    if (query.group_by_room && query.group_by_sender) out += ',';
    if (query.group_by_sender) append_group(out, "sender", by_sender, sender_order);
    out += '}';
  }
  if (query.include_state) {
    out += ",\"state\":{";
    bool first_room = true;
    for (const auto& [num, reader] : findings.readers) {
      if (!reader || !by_room.contains(reader->room->id)) continue;
      CO_TRY(const auto state, co_await rooms_.state_at(reader->room, reader->upto));
      if (!std::exchange(first_room, false)) out += ',';
      append_json_string(out, reader->room->id);
      out += ":[";
      const ClientView view{.with_room_id = true, .room_id = reader->room->id, .now = clock_.wall_ms()};
      for (std::size_t i = 0; i < state.size(); ++i) {
        if (i > 0) out += ',';
        append_client_event(out, *state[i], view);
      }
      out += ']';
    }
    out += '}';
  }
  if (!findings.next_batch.empty()) {
    out += ",\"next_batch\":";
    append_json_string(out, findings.next_batch);
  }
  out += "}}}";
  co_return out;
}

}  // namespace haechi::messenger

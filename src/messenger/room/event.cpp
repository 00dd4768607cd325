#include "messenger/room/event.hpp"

#include <fmt/format.h>

#include "base/text.hpp"

namespace haechi::messenger {

const json::object& Event::object() const {
  if (!parsed_) parsed_.emplace(must_parse_object(content()));
  return *parsed_;
}

std::string_view Event::membership() const {
  if (type != "m.room.member") return {};
  return get_string(object(), "membership").value_or(std::string_view{});
}

void Event::finish(std::string_view content) {
  relation.reset();
  if (redacted_by.empty() && content.find("\"m.relates_to\"") != std::string_view::npos) {
    const auto parsed = must_parse_object(content);
    if (const auto* r = get_object(parsed, "m.relates_to")) {
      const auto rel = get_string(*r, "rel_type");
      const auto id = get_string(*r, "event_id");
      if (rel && id) {
        relation.emplace(
            Relation{std::string(*rel), std::string(*id), std::string(get_string(*r, "key").value_or(""))});
      }
    }
  }
  client.clear();
  client.reserve(content.size() + type.size() + sender.size() + 160);
  client += "{\"content\":";
  client += content;
  content_bytes_ = content.size();
  parsed_.reset();
  client += ",\"event_id\":";
  append_json_string(client, event_id);
  fmt::format_to(std::back_inserter(client), ",\"origin_server_ts\":{}", ts);
  if (!redacts.empty()) {
    // Room versions before 11 have it at the top level; later ones in content too, and old clients look here.
    client += ",\"redacts\":";
    append_json_string(client, redacts);
  }
  client += ",\"sender\":";
  append_json_string(client, sender);
  if (state_key) {
    client += ",\"state_key\":";
    append_json_string(client, *state_key);
  }
  client += ",\"type\":";
  append_json_string(client, type);
}

std::shared_ptr<Event> event_from_row(std::string_view pdu, std::string_view event_id, std::string_view extra,
                                      std::string_view redacted_by) {
  unsigned char buffer[8192];
  json::monotonic_resource memory(buffer, sizeof buffer);
  auto parsed = parse_json_object(pdu, &memory);
  if (!parsed) throw std::runtime_error("a stored event is damaged: " + parsed.error().message);
  const auto& o = *parsed;
  auto e = std::make_shared<Event>();
  e->event_id = event_id;
  e->redacted_by = redacted_by;
  e->type = get_string(o, "type").value_or("");
  e->sender = get_string(o, "sender").value_or("");
  if (const auto key = get_string(o, "state_key")) e->state_key.emplace(*key);
  e->ts = get_int(o, "origin_server_ts").value_or(0);
  e->depth = get_int(o, "depth").value_or(0);
  if (e->type == "m.room.redaction") {
    const auto* c = get_object(o, "content");
    auto target = c ? get_string(*c, "redacts") : std::nullopt;
    if (!target) target = get_string(o, "redacts");
    e->redacts = target.value_or("");
  }
  if (!extra.empty()) {
    auto facts = must_parse_object(extra);
    e->device = get_string(facts, "device").value_or("");
    e->txn_id = get_string(facts, "txn").value_or("");
    e->joined_members = static_cast<std::int32_t>(get_int(facts, "joined").value_or(0));
    e->sender_may_notify_room = get_flag(facts, "room_notif");
    // What a redaction takes away must not come back as the previous content.
    if (const auto* prev = get(facts, "prev_content"); prev && redacted_by.empty()) {
      e->prev_content = to_text(*prev);
      e->prev_sender = get_string(facts, "prev_sender").value_or("");
    }
    e->replaces_state = get_string(facts, "replaces").value_or("");
  }
  const auto* content = get(o, "content");
  e->finish(content ? to_text(*content) : "{}");
  return e;
}

std::string extra_of(const Event& e) {
  std::string out = fmt::format("{{\"joined\":{}", e.joined_members);
  const auto add = [&](std::string_view key, std::string_view value) {
    if (value.empty()) return;
    out += ",\"";
    out += key;
    out += "\":";
    append_json_string(out, value);
  };
  add("device", e.device);
  add("txn", e.txn_id);
  if (e.sender_may_notify_room) out += ",\"room_notif\":true";
  if (!e.prev_content.empty()) {
    out += ",\"prev_content\":";
    out += e.prev_content;
  }
  add("prev_sender", e.prev_sender);
  add("replaces", e.replaces_state);
  out += '}';
  return out;
}

void append_client_event(std::string& out, const Event& e, const ClientView& view) {
  out += e.client;
  if (view.with_room_id) {
    out += ",\"room_id\":";
    append_json_string(out, view.room_id);
  }
  out += ",\"unsigned\":{";
  fmt::format_to(std::back_inserter(out), "\"age\":{}", view.now > e.ts ? view.now - e.ts : 0);
  if (!e.txn_id.empty() && !view.device.empty() && e.device == view.device) {
    out += ",\"transaction_id\":";
    append_json_string(out, e.txn_id);
  }
  if (!view.membership.empty()) {
    out += ",\"membership\":";
    append_json_string(out, view.membership);
  }
  if (!e.prev_content.empty()) {
    out += ",\"prev_content\":";
    out += e.prev_content;
    out += ",\"prev_sender\":";
    append_json_string(out, e.prev_sender);
  }
  if (!e.replaces_state.empty()) {
    out += ",\"replaces_state\":";
    append_json_string(out, e.replaces_state);
  }
  if (!e.redaction_json.empty()) {
    out += ",\"redacted_by\":";
    append_json_string(out, e.redacted_by);
    out += ",\"redacted_because\":";
    out += e.redaction_json;
  }
  if (!view.bundle.empty()) {
    out += ",\"m.relations\":";
    out += view.bundle;
  }
  out += "}}";
}

void append_stripped_event(std::string& out, const Event& e) {
  out += "{\"content\":";
  out += e.content();
  out += ",\"sender\":";
  append_json_string(out, e.sender);
  out += ",\"state_key\":";
  append_json_string(out, e.state_key.value_or(""));
  out += ",\"type\":";
  append_json_string(out, e.type);
  out += '}';
}

}  // namespace haechi::messenger

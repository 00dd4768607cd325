#include "messenger/event/draft.hpp"

#include <algorithm>
#include <array>
#include <charconv>

#include "base/hash.hpp"
#include "base/text.hpp"
#include "messenger/event/canonical.hpp"
#include "messenger/event/event_errc.hpp"
#include "messenger/event/hash.hpp"
#include "messenger/event/redact.hpp"

namespace haechi::messenger {
namespace {

Result<> check_field(std::string_view name, std::string_view value) {
  if (value.size() > kEventFieldBytesMax) {
    return fail(EventErrc::TooLarge, std::string(name) + " is longer than 255 bytes");
  }
  if (!is_valid_utf8(value)) return fail(EventErrc::BadJson, std::string(name) + " is not UTF-8");
  return {};
}

Result<> check_fields(const EventDraft& d) {
  TRY_DO(check_field("sender", d.sender));
  TRY_DO(check_field("room_id", d.room_id));
  TRY_DO(check_field("type", d.type));
  TRY_DO(check_field("redacts", d.redacts));
  if (d.state_key) TRY_DO(check_field("state_key", *d.state_key));
  if (d.origin_server_ts < -kCanonicalIntMax || d.origin_server_ts > kCanonicalIntMax) {
    return fail(EventErrc::BadJson, "origin_server_ts is out of range");
  }
  return {};
}

void append_int(std::string& out, std::int64_t n) {
  std::array<char, 24> text;
  out.append(text.data(), std::to_chars(text.data(), text.data() + text.size(), n).ptr);
}

void append_ids(std::string& out, std::span<const std::string_view> ids) {
  out += '[';
  bool first = true;
  for (const auto id : ids) {
    if (!first) out += ',';
    first = false;
    append_json_string(out, id);
  }
  out += ']';
}

void append_member(std::string& out, std::string_view prefix, std::string_view text) {
  out += prefix;
  append_json_string(out, text);
}

// What follows `hashes` in the order of keys. A redacted event keeps all of it
// except a top-level `redacts`.
void append_tail(std::string& out, const EventDraft& d, bool with_redacts) {
  out += R"("origin_server_ts":)";
  append_int(out, d.origin_server_ts);
  out += R"(,"prev_events":)";
  append_ids(out, d.prev_events);
  if (with_redacts && !d.redacts.empty()) append_member(out, R"(,"redacts":)", d.redacts);
  if (!d.room_id.empty()) append_member(out, R"(,"room_id":)", d.room_id);
  append_member(out, R"(,"sender":)", d.sender);
  if (d.state_key) append_member(out, R"(,"state_key":)", *d.state_key);
  append_member(out, R"(,"type":)", d.type);
  out += '}';
}

std::string hashes_member(const Sha256& hash) {
  std::string out = R"("hashes":{"sha256":")";
  out += base64_encode(hash);
  out += R"("},)";
  return out;
}

Result<std::string> redacted_content_text(const RoomVersion& version, const EventDraft& d) {
  if (!redaction_keeps_content(d.type, version)) return "{}";
  if (d.content) return canonical(redact_content(d.type, *d.content, version));
  TRY(const auto parsed, parse_json_object(d.content_text));
  return canonical(redact_content(d.type, parsed, version));
}

}  // namespace

Result<Built> build_event(const RoomVersion& version, const EventDraft& d) {
  TRY_DO(check_fields(d));
  // Depth stays at its ceiling once there: it no longer orders anything.
  const auto depth = std::min(d.depth, kCanonicalIntMax);

  Built built;
  std::string& text = built.json;
  text.reserve(d.content_text.size() + 640 + 48 * (d.prev_events.size() + d.auth_events.size()));
  text += R"({"auth_events":)";
  append_ids(text, d.auth_events);
  text += R"(,"content":)";
  const std::size_t content_at = text.size();
  text += d.content_text;
  const std::size_t content_end = text.size();
  text += R"(,"depth":)";
  append_int(text, depth);
  text += ',';
  const std::size_t hashes_at = text.size();
  append_tail(text, d, true);

  // The content hash covers all that is there so far; then it takes its place in the order.
  const std::string hashes = hashes_member(sha256(text));
  text.insert(hashes_at, hashes);
  if (text.size() + kSignatureBytesMax > kEventBytesMax) {
    return fail(EventErrc::TooLarge, "the event is larger than 65536 bytes");
  }

  TRY(const auto kept, redacted_content_text(version, d));
  thread_local std::string redacted;  // its memory is used again by the next event
  redacted.assign(text, 0, content_at);
  redacted += kept;
  redacted.append(text, content_end, hashes_at - content_end);
  redacted += hashes;
  append_tail(redacted, d, false);
  built.event_id = event_id_from(sha256(redacted));
  return built;
}

}  // namespace haechi::messenger

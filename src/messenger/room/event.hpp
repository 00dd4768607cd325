#pragma once
// An event as it lives in memory: immutable once built, shared by the timeline,
// the state and every answer that shows it.

#include <cstdint>
#include <memory>
#include <optional>
#include <string>
#include <string_view>

#include "base/clock.hpp"
#include "base/json.hpp"
#include "journal/journal.hpp"

namespace haechi::messenger {

using journal::Position;

/// content["m.relates_to"], where it names another event.
struct Relation {
  std::string rel_type;
  std::string event_id;
  std::string key;  ///< m.annotation
};

struct Event {
  Position pos = 0;  ///< 0 until committed
  std::int64_t room_num = 0;
  std::string event_id;
  std::string type;
  std::string sender;
  std::optional<std::string> state_key;
  WallMs ts = 0;
  std::int64_t depth = 0;
  std::string redacts;  ///< event id, for m.room.redaction
  std::optional<Relation> relation;

  // What only the server knows.
  std::string device;  ///< "user|device" that sent it, for unsigned.transaction_id
  std::string txn_id;
  std::string redacted_by;     ///< event id of the redaction that was applied
  std::string redaction_json;  ///< that redaction as clients see it
  std::string prev_content;    ///< state events: content before, JSON text; empty when there was none
  std::string prev_sender;
  std::string replaces_state;
  std::int32_t joined_members = 0;      ///< when it was sent: push rules ask it later
  bool sender_may_notify_room = false;  ///< likewise

  /// `{"content":…,"event_id":…,"origin_server_ts":…,"sender":…,["state_key":…,]"type":…` without the
  /// closing brace: what every client sees alike, made once.
  std::string client;

  bool is_state() const { return state_key.has_value(); }
  bool is_state(std::string_view t, std::string_view k) const { return state_key && type == t && *state_key == k; }
  /// Canonical JSON text; part of `client`.
  std::string_view content() const { return std::string_view(client).substr(kContentAt, content_bytes_); }
  /// The content, parsed at first use. Loop thread only.
  const json::object& object() const;
  /// content.membership, for m.room.member.
  std::string_view membership() const;

  /// Fills `client` and `relation` from the other fields and the content's canonical text.
  void finish(std::string_view content);

 private:
  static constexpr std::size_t kContentAt = 11;  // {"content":
  std::size_t content_bytes_ = 0;
  mutable std::optional<json::object> parsed_;
};

using EventPtr = std::shared_ptr<const Event>;

/// A stored row: the PDU, and `extra` as extra_of() wrote it. Throws on damaged JSON.
std::shared_ptr<Event> event_from_row(std::string_view pdu, std::string_view event_id, std::string_view extra,
                                      std::string_view redacted_by);
/// What only the server knows, as one JSON object.
std::string extra_of(const Event& e);

/// Who looks, and in which clothes the event is shown.
struct ClientView {
  std::string_view device;  ///< "user|device" for transaction_id; may be empty
  bool with_room_id = false;
  std::string_view room_id;
  std::string_view bundle;      ///< JSON text for unsigned["m.relations"], or empty
  std::string_view membership;  ///< unsigned.membership (MSC4115), or empty
  WallMs now = 0;               ///< for unsigned.age
};

/// Appends the event as clients see it.
void append_client_event(std::string& out, const Event& e, const ClientView& view);
/// `{"type","state_key","content","sender"}`: invite_state and knock_state.
void append_stripped_event(std::string& out, const Event& e);

}  // namespace haechi::messenger

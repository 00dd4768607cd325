// Arbitrary JSON as an event and the state before it:
// {"event": {...}, "state": {"type|state_key": {"sender": ..., "content": {...}}}}.
// Nothing may crash, and the fast and the slow way must give one event id.
#include <cstdint>
#include <cstdlib>
#include <string>
#include <vector>

#include "messenger/event/auth.hpp"
#include "messenger/event/canonical.hpp"
#include "messenger/event/draft.hpp"
#include "messenger/event/hash.hpp"

using namespace haechi;
using namespace haechi::messenger;

namespace {

class JsonState final : public StateView {
 public:
  explicit JsonState(const json::object* state) : state_(state) {}
  const json::object* content(std::string_view type, std::string_view state_key) const override {
    const auto* e = entry(type, state_key);
    return e ? get_object(*e, "content") : nullptr;
  }
  std::string_view sender(std::string_view type, std::string_view state_key) const override {
    const auto* e = entry(type, state_key);
    return e ? get_string(*e, "sender").value_or("") : std::string_view{};
  }
  std::string_view create_event_id() const override { return "$create"; }

 private:
  const json::object* entry(std::string_view type, std::string_view state_key) const {
    return state_ ? get_object(*state_, std::string(type) + "|" + std::string(state_key)) : nullptr;
  }
  const json::object* state_;
};

std::vector<std::string_view> texts(const json::object& o, std::string_view key) {
  std::vector<std::string_view> out;
  if (const auto* list = get_array(o, key)) {
    for (const auto& v : *list) {
      if (v.is_string()) out.push_back(sv(v.get_string()));
    }
  }
  return out;
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  const auto input = parse_json_object({reinterpret_cast<const char*>(data), size});
  if (!input) return 0;
  const auto* event = get_object(*input, "event");
  if (!event) return 0;
  static const json::object kNone;
  const auto* content = get_object(*event, "content");
  if (!content) content = &kNone;
  const auto text = [&](std::string_view key) { return get_string(*event, key).value_or(""); };
  const auto prev = texts(*event, "prev_events");
  const auto auth = texts(*event, "auth_events");
  AuthEvent e{.room_id = text("room_id"),
              .sender = text("sender"),
              .type = text("type"),
              .state_key = get_string(*event, "state_key"),
              .content = content,
              .prev_events = prev};
  const JsonState state(get_object(*input, "state"));
  std::string content_text;
  const bool canonical_content = append_canonical(content_text, *content).has_value();

  for (const auto* version : room_versions()) {
    const auto verdict = authorize(*version, e, state);
    if (!verdict && verdict.error().message.empty()) std::abort();
    (void)check_auth_selection(*version, e, auth_event_keys(*version, e));
    (void)event_id_of(*event, *version);
    if (!canonical_content) continue;
    const auto built = build_event(*version, {.room_id = e.room_id,
                                              .sender = e.sender,
                                              .type = e.type,
                                              .state_key = e.state_key,
                                              .content_text = content_text,
                                              .content = content,
                                              .origin_server_ts = 1,
                                              .prev_events = prev,
                                              .auth_events = auth,
                                              .redacts = text("redacts")});
    if (!built) continue;
    const auto parsed = must_parse_object(built->json);
    if (canonical(parsed).value() != built->json) std::abort();
    if (event_id_of(parsed, *version).value() != built->event_id) std::abort();
  }
  return 0;
}

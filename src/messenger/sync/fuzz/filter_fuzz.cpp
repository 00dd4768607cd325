#include <cstdlib>
#include <string_view>

#include "messenger/sync/filter.hpp"

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  using namespace haechi;
  using namespace haechi::messenger;
  const auto o = parse_json_object({reinterpret_cast<const char*>(data), size});
  if (!o) return 0;
  Event message;
  message.type = "m.room.message";
  message.sender = "@alice:localhost";
  message.finish(R"({"body":"hello","url":"mxc://localhost/a"})");
  if (const auto filter = Filter::parse(*o)) {
    filter->wants_room("!a:localhost");
    filter->presence.matches("m.presence", "@alice:localhost");
    // Saying everything and showing everything are the same.
    if (filter->timeline.everything() && !filter->timeline.matches(message)) std::abort();
  }
  if (const auto filter = parse_room_event_filter(*o)) {
    filter->matches_room("!a:localhost");
    if (filter->everything() && !filter->matches(message)) std::abort();
  }
  return 0;
}

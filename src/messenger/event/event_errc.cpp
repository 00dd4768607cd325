#include "messenger/event/event_errc.hpp"

#include <string>

namespace haechi::messenger {
namespace {

class EventCategory final : public std::error_category {
 public:
  const char* name() const noexcept override { return "event"; }
  std::string message(int value) const override {
    switch (static_cast<EventErrc>(value)) {
      case EventErrc::Ok: return "ok";
      case EventErrc::Forbidden: return "forbidden by the room's rules";
      case EventErrc::BadJson: return "not a well-formed event";
      case EventErrc::TooLarge: return "event too large";
    }
    return "unknown error";
  }
};

}  // namespace

const std::error_category& event_category() noexcept {
  static const EventCategory category;
  return category;
}

std::error_code make_error_code(EventErrc code) noexcept { return {static_cast<int>(code), event_category()}; }

}  // namespace haechi::messenger

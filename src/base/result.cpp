#include "base/result.hpp"

namespace haechi {
namespace {

class BaseCategory final : public std::error_category {
 public:
  const char* name() const noexcept override { return "haechi"; }
  std::string message(int value) const override {
    switch (static_cast<Errc>(value)) {
      case Errc::Ok: return "ok";
      case Errc::Invalid: return "invalid input";
      case Errc::NotFound: return "not found";
      case Errc::Conflict: return "conflict";
      case Errc::Overloaded: return "overloaded";
      case Errc::Timeout: return "deadline passed";
      case Errc::Cancelled: return "cancelled";
      case Errc::Unavailable: return "unavailable";
      case Errc::Io: return "input/output error";
      case Errc::TooLarge: return "too large";
      case Errc::Broken: return "no answer was given";
    }
    return "unknown error";
  }
};

}  // namespace

const std::error_category& base_category() noexcept {
  static const BaseCategory category;
  return category;
}

std::error_code make_error_code(Errc code) noexcept { return {static_cast<int>(code), base_category()}; }

}  // namespace haechi

#include "messenger/errc.hpp"

#include <string>

namespace haechi::messenger {
namespace {
class Category final : public std::error_category {
 public:
  const char* name() const noexcept override { return "messenger"; }
  std::string message(int value) const override { return "messenger error " + std::to_string(value); }
};
}  // namespace

const std::error_category& messenger_category() noexcept {
  static const Category category;
  return category;
}

}  // namespace haechi::messenger

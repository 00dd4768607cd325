#include "messenger/ephemeral/said.hpp"

namespace haechi::messenger {
namespace {
constexpr std::size_t kBytesMax = 6'000;  // as journal::Journal::broadcast() says
}

void Said::add(std::string_view item) {
  if (item.size() + 2 > kBytesMax) return;
  if (text_.size() + item.size() + 2 > kBytesMax) send();
  text_ += text_.empty() ? '[' : ',';
  text_ += item;
}

void Said::send() {
  if (text_.empty()) return;
  text_ += ']';
  journal_.broadcast(topic_, text_);
  text_.clear();
}

json::array heard_items(std::string_view message) {
  auto parsed = parse_json(message);
  if (!parsed || !parsed->is_array()) return {};
  return std::move(parsed->get_array());
}

}  // namespace haechi::messenger

// Canonical JSON is a fixed point: written, read and written again it is the same text.
#include <cstdint>
#include <cstdlib>

#include "messenger/event/canonical.hpp"

using namespace haechi;
using namespace haechi::messenger;

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  const auto value = parse_json({reinterpret_cast<const char*>(data), size});
  if (!value) return 0;
  std::string once;
  const bool fine = append_canonical(once, *value).has_value();
  if (fine != check_event_json(*value).has_value()) std::abort();
  if (!fine) return 0;
  const auto again = parse_json(once);
  if (!again) std::abort();
  std::string twice;
  if (!append_canonical(twice, *again) || once != twice) std::abort();
  return 0;
}

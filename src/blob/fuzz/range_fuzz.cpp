#include <cstdlib>
#include <string_view>

#include "blob/serving.hpp"

namespace {
void expect(bool holds) {
  if (!holds) std::abort();
}
}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  using namespace haechi::blob;
  const std::string_view text(reinterpret_cast<const char*>(data), size);
  for (const std::uint64_t bytes : {std::uint64_t{0}, std::uint64_t{1}, std::uint64_t{1000}, ~std::uint64_t{0}}) {
    const auto answer = parse_range(text, bytes);
    if (answer.kind != RangeKind::Partial) continue;
    expect(answer.range.length > 0);
    expect(answer.range.offset < bytes);
    expect(answer.range.length <= bytes - answer.range.offset);
  }
  const auto cut = size / 2;
  const auto headers = serving_headers(text.substr(0, cut), text.substr(cut));
  for (const auto& value : {headers.content_type, headers.content_disposition}) {
    for (const char c : value) expect(c >= 0x20 && c < 0x7f);
  }
  etag_matches(text, "\"abc\"");
  return 0;
}

// The first byte chooses a Content-Type, the rest is the page.
#include <cstddef>
#include <cstdint>
#include <cstdlib>
#include <string_view>

#include "base/text.hpp"
#include "messenger/preview/html.hpp"

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  constexpr std::string_view kTypes[] = {"",
                                         "text/html",
                                         "text/html; charset=utf-8",
                                         "text/html; charset=euc-kr",
                                         "text/html; charset=iso-2022-jp",
                                         "text/html; charset=utf-16le",
                                         "text/html; charset=nonsense"};
  if (size == 0) return 0;
  const std::string_view bytes(reinterpret_cast<const char*>(data) + 1, size - 1);
  const auto out = haechi::messenger::preview::open_graph(
      {.bytes = bytes, .url = "https://example.org/a/b?c", .content_type = kTypes[data[0] % std::size(kTypes)]});
  for (const auto& [key, value] : out) {
    if (!haechi::is_valid_utf8(std::string_view(key))) std::abort();
    if (!value.is_string()) continue;
    const std::string_view text = haechi::sv(value.get_string());
    if (!haechi::is_valid_utf8(text) || text.size() > 4 * haechi::messenger::preview::kTextCharsMax) std::abort();
    if (key == "og:image" && !text.starts_with("http://") && !text.starts_with("https://")) std::abort();
  }
  return 0;
}

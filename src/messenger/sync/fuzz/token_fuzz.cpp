#include <cstdlib>
#include <string_view>

#include "messenger/sync/token.hpp"

namespace {
void expect(bool holds) {
  if (!holds) std::abort();
}
}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  using namespace haechi::messenger;
  const std::string_view text(reinterpret_cast<const char*>(data), size);
  if (const auto token = SyncToken::parse(text)) {
    expect(token->pos >= 0 && token->stamp >= 0 && token->to_device >= 0);
    expect(SyncToken::parse(token->text()) == token);
    expect(parse_page_token(text) == token->pos + 1);
  }
  if (const auto before = parse_page_token(text)) {
    expect(*before >= 0);
    expect(parse_page_token(page_token(*before)) == before);
  }
  return 0;
}

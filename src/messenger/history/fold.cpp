#include "messenger/history/fold.hpp"

#include <cstdint>

namespace haechi::messenger {
namespace {

/// For code points U+0080 to U+07FF, those of two bytes.
std::uint32_t small_letter(std::uint32_t c) {
  if (c >= 0xC0 && c <= 0xDE && c != 0xD7) return c + 0x20;
  if (c >= 0x100 && c <= 0x17E && c != 0x130 && c != 0x131 && c != 0x138 && c != 0x149 && c != 0x178) {
    // Pairs; between U+0139 and U+0148, and from U+0179, the capital is odd.
    const bool odd_capital = (c >= 0x139 && c <= 0x148) || c >= 0x179;
    return (c & 1) == (odd_capital ? 1u : 0u) ? c + 1 : c;
  }
  if (c >= 0x391 && c <= 0x3A9 && c != 0x3A2) return c + 0x20;
  if (c >= 0x400 && c <= 0x40F) return c + 0x50;
  if (c >= 0x410 && c <= 0x42F) return c + 0x20;
  return c;
}

}  // namespace

void fold_case(std::string& text) {
  for (std::size_t i = 0; i < text.size(); ++i) {
    const auto b = static_cast<unsigned char>(text[i]);
    if (b < 0x80) {
      if (b >= 'A' && b <= 'Z') text[i] = static_cast<char>(b + 0x20);
    } else if (b >= 0xC2 && b <= 0xDF && i + 1 < text.size()) {
      const auto next = static_cast<unsigned char>(text[i + 1]);
      if ((next & 0xC0) != 0x80) continue;
      const auto c = small_letter((std::uint32_t{b} & 0x1F) << 6 | (next & 0x3Fu));
      text[i] = static_cast<char>(0xC0 | c >> 6);
      text[i + 1] = static_cast<char>(0x80 | (c & 0x3F));
      ++i;
    }
  }
}

}  // namespace haechi::messenger

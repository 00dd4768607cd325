#pragma once
#include <string>
#include <string_view>

namespace haechi::messenger {

/// Small letters for capital ones: ASCII, Latin-1, Greek and Cyrillic. Every letter
/// keeps its length in bytes, so positions stay what they were. `text` may be
/// anything; bytes that are no UTF-8 are left alone.
void fold_case(std::string& text);
inline std::string folded(std::string_view text) {
  std::string out(text);
  fold_case(out);
  return out;
}

}  // namespace haechi::messenger

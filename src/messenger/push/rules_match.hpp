#pragma once
// The text matching that push rules need. Nothing here allocates, and every
// search draws on a bounded amount of work, because patterns and bodies both
// come from outside and rules are evaluated for every member of a room.
//
// "Case-insensitive" folds ASCII letters only; the specification leaves the
// exact meaning to the server.

#include <array>
#include <cstddef>
#include <cstdint>
#include <string_view>

namespace haechi::messenger::push {

/// Byte comparisons that one evaluation may spend. A search that runs out says
/// "no match": an ordinary ruleset stays thousands of times below.
struct Work {
  std::int64_t left = 4'000'000;
};

namespace detail {
consteval std::array<unsigned char, 256> make_fold() {
  std::array<unsigned char, 256> t{};
  for (std::size_t i = 0; i < 256; ++i) {
    t[i] = static_cast<unsigned char>(i >= 'A' && i <= 'Z' ? i + 32 : i);
  }
  return t;
}
consteval std::array<bool, 256> make_word() {
  std::array<bool, 256> t{};
  for (std::size_t i = 0; i < 256; ++i) {
    t[i] = (i >= 'A' && i <= 'Z') || (i >= 'a' && i <= 'z') || (i >= '0' && i <= '9') || i == '_';
  }
  return t;
}
inline constexpr auto kFold = make_fold();
inline constexpr auto kWord = make_word();
}  // namespace detail

constexpr unsigned char fold_byte(char c) { return detail::kFold[static_cast<unsigned char>(c)]; }
constexpr bool is_word_byte(char c) { return detail::kWord[static_cast<unsigned char>(c)]; }

/// https://spec.matrix.org/v1.19/client-server-api/#conditions-1: "the start or
/// end of the value, or any character not in the sets [A-Z], [a-z], [0-9] or _".
constexpr bool at_word_boundary(std::string_view text, std::size_t pos) {
  return pos == 0 || pos >= text.size() || !is_word_byte(text[pos - 1]) || !is_word_byte(text[pos]);
}

constexpr bool has_glob(std::string_view pattern) { return pattern.find_first_of("*?") != std::string_view::npos; }

/// The two texts are equal but for the case of ASCII letters.
bool equals_folded(std::string_view a, std::string_view b);

/// `needle`, taken literally, stands in `text` between word boundaries.
/// An empty needle is never found.
bool contains_word(std::string_view text, std::string_view needle, Work& work);

/// The glob matches the whole of `text`; '?' stands for one code point.
bool glob_whole(std::string_view pattern, std::string_view text, Work& work);

/// The glob matches some part of `text` that starts and ends at a word boundary.
bool glob_words(std::string_view pattern, std::string_view text, Work& work);

/// Which three bytes words of one text start with: tells in constant time that a
/// name is not in it, so a long body is read once and not once per member.
class WordStarts {
 public:
  void build(std::string_view text);
  /// False only when contains_word() would be false.
  bool may_contain(std::string_view needle) const {
    if (needle.size() < kPrefix) return true;
    const std::size_t bit = slot(needle);
    return ((bits_[bit / 64] >> (bit % 64)) & 1U) != 0;
  }

 private:
  static constexpr std::size_t kPrefix = 3;
  static constexpr unsigned kSlotBits = 12;
  static constexpr std::size_t slot(std::string_view p) {
    const std::uint32_t key =
        fold_byte(p[0]) | std::uint32_t{fold_byte(p[1])} << 8U | std::uint32_t{fold_byte(p[2])} << 16U;
    return (key * 0x9E3779B1U) >> (32U - kSlotBits);
  }
  std::array<std::uint64_t, (std::size_t{1} << kSlotBits) / 64> bits_{};
};

}  // namespace haechi::messenger::push

#include "messenger/push/rules_match.hpp"

namespace haechi::messenger::push {
namespace {

constexpr std::size_t kNone = std::string_view::npos;

constexpr bool is_continuation(char c) { return (static_cast<unsigned char>(c) & 0xC0U) == 0x80U; }

std::size_t code_point_end(std::string_view text, std::size_t pos) {
  ++pos;
  while (pos < text.size() && is_continuation(text[pos])) ++pos;
  return pos;
}

enum class Syntax { Literal, Glob };

/// Where a match of `segment` (no stars) that starts at `pos` ends, or kNone.
template <Syntax syntax>
std::size_t match_at(std::string_view text, std::size_t pos, std::string_view segment, Work& work) {
  const std::size_t start = pos;
  for (const char s : segment) {
    if (pos >= text.size()) return kNone;
    if (syntax == Syntax::Glob && s == '?') {
      if (is_continuation(text[pos])) return kNone;
      pos = code_point_end(text, pos);
    } else if (fold_byte(s) == fold_byte(text[pos])) {
      ++pos;
    } else {
      work.left -= static_cast<std::int64_t>(pos - start);
      return kNone;
    }
  }
  work.left -= static_cast<std::int64_t>(pos - start);
  return pos;
}

enum class Edges { Free, StartAtWord, EndAtWord, BothAtWord };

/// The end of the leftmost match of `segment` at or after `from`, or kNone.
template <Syntax syntax, Edges edges>
std::size_t find_segment(std::string_view text, std::size_t from, std::string_view segment, Work& work) {
  const bool any_first = segment.empty() || (syntax == Syntax::Glob && segment.front() == '?');
  const unsigned char first = segment.empty() ? 0 : fold_byte(segment.front());
  work.left -= static_cast<std::int64_t>(text.size() - from);
  for (std::size_t pos = from; pos <= text.size() && work.left > 0; ++pos) {
    if (!any_first && (pos == text.size() || fold_byte(text[pos]) != first)) continue;
    if constexpr (edges == Edges::StartAtWord || edges == Edges::BothAtWord) {
      if (!at_word_boundary(text, pos)) continue;
    }
    const std::size_t end = match_at<syntax>(text, pos, segment, work);
    if (end == kNone) continue;
    if constexpr (edges == Edges::EndAtWord || edges == Edges::BothAtWord) {
      if (!at_word_boundary(text, end)) continue;
    }
    return end;
  }
  return kNone;
}

}  // namespace

bool equals_folded(std::string_view a, std::string_view b) {
  if (a.size() != b.size()) return false;
  for (std::size_t i = 0; i < a.size(); ++i) {
    if (fold_byte(a[i]) != fold_byte(b[i])) return false;
  }
  return true;
}

bool contains_word(std::string_view text, std::string_view needle, Work& work) {
  if (needle.empty() || needle.size() > text.size()) return false;
  return find_segment<Syntax::Literal, Edges::BothAtWord>(text, 0, needle, work) != kNone;
}

bool glob_whole(std::string_view pattern, std::string_view text, Work& work) {
  std::size_t star = pattern.find('*');
  if (star == kNone) return match_at<Syntax::Glob>(text, 0, pattern, work) == text.size();

  std::size_t pos = match_at<Syntax::Glob>(text, 0, pattern.substr(0, star), work);
  if (pos == kNone) return false;
  std::string_view rest = pattern.substr(star + 1);
  // Between stars the leftmost match is as good as any later one.
  while ((star = rest.find('*')) != kNone) {
    pos = find_segment<Syntax::Glob, Edges::Free>(text, pos, rest.substr(0, star), work);
    if (pos == kNone) return false;
    rest = rest.substr(star + 1);
  }
  // The last segment has to end where the text ends: walk back as many code points as it has.
  std::size_t tail = text.size();
  for (const char c : rest) {
    if (is_continuation(c)) continue;
    if (tail <= pos) return false;
    do --tail;
    while (tail > pos && is_continuation(text[tail]));
  }
  return match_at<Syntax::Glob>(text, tail, rest, work) == text.size();
}

bool glob_words(std::string_view pattern, std::string_view text, Work& work) {
  std::size_t star = pattern.find('*');
  if (star == kNone) return find_segment<Syntax::Glob, Edges::BothAtWord>(text, 0, pattern, work) != kNone;

  // The earliest start leaves the most room for what follows the star, so no other needs a try.
  std::size_t pos = find_segment<Syntax::Glob, Edges::StartAtWord>(text, 0, pattern.substr(0, star), work);
  if (pos == kNone) return false;
  std::string_view rest = pattern.substr(star + 1);
  while ((star = rest.find('*')) != kNone) {
    pos = find_segment<Syntax::Glob, Edges::Free>(text, pos, rest.substr(0, star), work);
    if (pos == kNone) return false;
    rest = rest.substr(star + 1);
  }
  // A trailing star reaches to the end of the text, which is a boundary.
  return rest.empty() || find_segment<Syntax::Glob, Edges::EndAtWord>(text, pos, rest, work) != kNone;
}

void WordStarts::build(std::string_view text) {
  bits_.fill(0);
  bool before_is_word = false;
  for (std::size_t i = 0; i + kPrefix <= text.size(); ++i) {
    const bool word = is_word_byte(text[i]);
    if (!before_is_word || !word) {
      const std::size_t bit = slot(text.substr(i));
      bits_[bit / 64] |= std::uint64_t{1} << (bit % 64);
    }
    before_is_word = word;
  }
}

}  // namespace haechi::messenger::push

#pragma once
// The tags and the text of an HTML page, one after the other, in time linear in
// the page whatever is in it. After https://html.spec.whatwg.org/#tokenization,
// without a tree: a preview needs none. libxml2's parser was tried and is not
// used because an element with n attributes costs it n * n (measured: 1.4 s for
// 256 KiB, growing quadratically).

#include <cstddef>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

namespace haechi::messenger::preview {

inline constexpr std::size_t kAttributesMax = 64;  ///< of one element; the rest is skipped

struct HtmlToken {
  enum class Kind { End, Text, Open, Close };
  Kind kind = Kind::End;
  std::string name;       ///< of a tag, ASCII letters in lower case
  std::string_view text;  ///< of a text, entities not yet decoded
  /// Names as written, values with entities not yet decoded.
  std::vector<std::pair<std::string_view, std::string_view>> attributes;
  bool raw = false;  ///< a text in which entities mean nothing (scripts, styles)

  /// The first attribute of the name, empty when absent.
  std::string_view attribute(std::string_view lower_name) const;
};

class HtmlTokens {
 public:
  /// The page is UTF-8 and outlives this.
  explicit HtmlTokens(std::string_view page) : rest_(page) {}
  /// The next tag or text. It is overwritten by the next call; comments are left out.
  const HtmlToken& next();

 private:
  void take_tag(HtmlToken::Kind kind);
  void take_raw_text();
  void take_text();
  void skip_past(std::string_view end);

  std::string_view rest_;
  HtmlToken token_;
};

/// Character references resolved; what is none stays as it is.
std::string decode_entities(std::string_view text);

}  // namespace haechi::messenger::preview

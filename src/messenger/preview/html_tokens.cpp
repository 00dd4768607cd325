#include "messenger/preview/html_tokens.hpp"

#include <libxml/HTMLparser.h>

#include <algorithm>
#include <array>
#include <cstdint>

#include "base/text.hpp"

namespace haechi::messenger::preview {
namespace {

constexpr std::size_t kNameBytesMax = 32;  ///< of an element; longer ones are nobody's
constexpr std::string_view kSpace = " \t\r\n\f";

constexpr bool is_letter(char c) { return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z'); }

bool starts_tag(std::string_view text) { return text.size() > 1 && text[0] == '<' && is_letter(text[1]); }
bool starts_close(std::string_view text) { return text.size() > 2 && text.starts_with("</") && is_letter(text[2]); }
bool starts_comment(std::string_view text) {
  return text.starts_with("<!") || text.starts_with("<?") || (text.size() > 2 && text.starts_with("</"));
}

/// Elements whose content is text up to their own closing tag.
bool holds_text_only(std::string_view name) {
  constexpr std::array kNames{"script", "style",   "title",    "textarea", "noscript",
                              "iframe", "noembed", "noframes", "xmp"};
  return std::ranges::any_of(kNames, [&](std::string_view n) { return n == name; });
}

void skip_any(std::string_view& text, std::string_view what) {
  text.remove_prefix(std::min(text.find_first_not_of(what), text.size()));
}

std::string_view take_until(std::string_view& text, std::string_view stops, std::size_t from = 0) {
  const std::size_t end = std::min(text.find_first_of(stops, from), text.size());
  const std::string_view taken = text.substr(0, end);
  text.remove_prefix(end);
  return taken;
}

void append_code_point(std::string& out, std::uint32_t c) {
  const auto byte = [&out](std::uint32_t b) { out += static_cast<char>(static_cast<unsigned char>(b)); };
  if (c == 0 || c > 0x10FFFF || (c >= 0xD800 && c < 0xE000)) c = 0xFFFD;
  if (c < 0x80) {
    byte(c);
  } else if (c < 0x800) {
    byte(0xC0U | (c >> 6U));
    byte(0x80U | (c & 63U));
  } else if (c < 0x10000) {
    byte(0xE0U | (c >> 12U));
    byte(0x80U | ((c >> 6U) & 63U));
    byte(0x80U | (c & 63U));
  } else {
    byte(0xF0U | (c >> 18U));
    byte(0x80U | ((c >> 12U) & 63U));
    byte(0x80U | ((c >> 6U) & 63U));
    byte(0x80U | (c & 63U));
  }
}

/// `text` starts with "&#". The length of the reference, 0 when it is none.
std::size_t decode_number(std::string_view text, std::string& out) {
  std::size_t at = 2;
  const bool hex = at < text.size() && (text[at] == 'x' || text[at] == 'X');
  if (hex) ++at;
  const std::size_t digits = at;
  std::uint32_t value = 0;
  for (; at < text.size(); ++at) {
    const char c = text[at];
    std::uint32_t digit = 16;
    if (c >= '0' && c <= '9') digit = static_cast<std::uint32_t>(c - '0');
    if (hex && c >= 'a' && c <= 'f') digit = static_cast<std::uint32_t>(c - 'a' + 10);
    if (hex && c >= 'A' && c <= 'F') digit = static_cast<std::uint32_t>(c - 'A' + 10);
    if (digit == 16) break;
    value = std::min<std::uint32_t>(value * (hex ? 16 : 10) + digit, 0x110000);
  }
  if (at == digits) return 0;
  append_code_point(out, value);
  return at < text.size() && text[at] == ';' ? at + 1 : at;
}

/// `text` starts with '&'. Names need their semicolon: "&copy=1" in a link is a parameter.
std::size_t decode_name(std::string_view text, std::string& out) {
  constexpr std::size_t kLongest = 16;
  const std::size_t end = text.substr(0, kLongest).find(';');
  if (end == std::string_view::npos || end < 2) return 0;
  const std::string name(text.substr(1, end - 1));
  const htmlEntityDesc* entity = htmlEntityLookup(reinterpret_cast<const xmlChar*>(name.c_str()));
  if (!entity) return 0;
  append_code_point(out, entity->value);
  return end + 1;
}

}  // namespace

std::string_view HtmlToken::attribute(std::string_view lower_name) const {
  for (const auto& [key, value] : attributes) {
    if (iequals_ascii(key, lower_name)) return value;
  }
  return {};
}

std::string decode_entities(std::string_view text) {
  std::string out;
  out.reserve(text.size());
  while (!text.empty()) {
    out += take_until(text, "&");
    if (text.empty()) break;
    const std::size_t length = text.starts_with("&#") ? decode_number(text, out) : decode_name(text, out);
    if (length == 0) out += '&';
    text.remove_prefix(std::max<std::size_t>(length, 1));
  }
  return out;
}

void HtmlTokens::skip_past(std::string_view end) {
  const std::size_t at = rest_.find(end);
  rest_.remove_prefix(at == std::string_view::npos ? rest_.size() : at + end.size());
}

const HtmlToken& HtmlTokens::next() {
  const bool raw = token_.kind == HtmlToken::Kind::Open && holds_text_only(token_.name);
  token_.attributes.clear();
  token_.text = {};
  token_.raw = false;
  if (raw) {
    take_raw_text();
    return token_;
  }
  while (!rest_.empty()) {
    if (starts_tag(rest_)) {
      rest_.remove_prefix(1);
      take_tag(HtmlToken::Kind::Open);
      return token_;
    }
    if (starts_close(rest_)) {
      rest_.remove_prefix(2);
      take_tag(HtmlToken::Kind::Close);
      return token_;
    }
    if (rest_.starts_with("<!--")) {
      // "<!-->" and "<!--->" are comments already.
      rest_.remove_prefix(rest_.starts_with("<!-->") || rest_.starts_with("<!--->") ? 2 : 4);
      skip_past("-->");
    } else if (starts_comment(rest_)) {
      skip_past(">");
    } else {
      take_text();
      return token_;
    }
  }
  token_.kind = HtmlToken::Kind::End;
  return token_;
}

void HtmlTokens::take_text() {
  token_.kind = HtmlToken::Kind::Text;
  token_.text = rest_.substr(0, rest_.find('<', 1));
  rest_.remove_prefix(token_.text.size());
}

/// The content of the text-only element that was just opened; its closing tag comes next.
void HtmlTokens::take_raw_text() {
  token_.kind = HtmlToken::Kind::Text;
  token_.raw = token_.name != "title" && token_.name != "textarea";
  std::size_t end = 0;
  while ((end = rest_.find("</", end)) != std::string_view::npos) {
    const std::string_view after = rest_.substr(end + 2);
    if (iequals_ascii(after.substr(0, token_.name.size()), token_.name)) {
      const std::string_view beyond = after.substr(token_.name.size());
      if (beyond.empty() || kSpace.contains(beyond[0]) || beyond[0] == '/' || beyond[0] == '>') break;
    }
    end += 2;
  }
  token_.text = rest_.substr(0, end);
  rest_.remove_prefix(token_.text.size());
}

/// After "<" or "</", at the first letter of the name.
void HtmlTokens::take_tag(HtmlToken::Kind kind) {
  token_.kind = kind;
  token_.name = to_lower_ascii(take_until(rest_, " \t\r\n\f/>").substr(0, kNameBytesMax));
  while (true) {
    skip_any(rest_, " \t\r\n\f/");
    if (rest_.empty()) return;
    if (rest_[0] == '>') {
      rest_.remove_prefix(1);
      return;
    }
    // An '=' at the start belongs to the name.
    const std::string_view key = take_until(rest_, " \t\r\n\f/>=", 1);
    std::string_view value;
    skip_any(rest_, kSpace);
    if (rest_.starts_with('=')) {
      rest_.remove_prefix(1);
      skip_any(rest_, kSpace);
      if (rest_.starts_with('"') || rest_.starts_with('\'')) {
        const std::string_view quote = rest_.substr(0, 1);
        rest_.remove_prefix(1);
        value = take_until(rest_, quote);
        rest_.remove_prefix(std::min<std::size_t>(1, rest_.size()));
      } else {
        value = take_until(rest_, " \t\r\n\f>");
      }
    }
    if (token_.attributes.size() < kAttributesMax) token_.attributes.emplace_back(key, value);
  }
}

}  // namespace haechi::messenger::preview

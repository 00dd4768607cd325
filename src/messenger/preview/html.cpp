#include "messenger/preview/html.hpp"

#include <algorithm>
#include <array>
#include <map>
#include <optional>
#include <string>
#include <utility>
#include <vector>

#include "base/text.hpp"
#include "messenger/preview/html_charset.hpp"
#include "messenger/preview/html_tokens.hpp"
#include "messenger/preview/html_url.hpp"

namespace haechi::messenger::preview {
namespace {

constexpr std::size_t kRawTextBytesMax = 8 * kTextCharsMax;  ///< gathered before it is cleaned
constexpr std::size_t kIgnoredDepthMax = 64;
constexpr std::int64_t kImageSideMin = 64;  ///< smaller ones are ornaments and trackers

/// At most `bytes_max` bytes, cut between code points.
std::string_view cut(std::string_view text, std::size_t bytes_max) {
  if (text.size() <= bytes_max) return text;
  while (bytes_max > 0 && (static_cast<unsigned char>(text[bytes_max]) & 0xC0U) == 0x80U) --bytes_max;
  return text.substr(0, bytes_max);
}

/// One line: runs of spaces and controls become one space. At most `chars_max` code
/// points, the last one an ellipsis when something was cut off.
std::string one_line(std::string_view text, std::size_t chars_max) {
  std::string out;
  std::size_t chars = 0;
  std::size_t last_start = 0;
  bool space = false;
  for (std::size_t i = 0; i < text.size();) {
    const auto byte = static_cast<unsigned char>(text[i]);
    if (byte <= 0x20 || byte == 0x7F || text.substr(i).starts_with("\xC2\xA0")) {
      space = !out.empty();
      i += byte == 0xC2 ? 2 : 1;
      continue;
    }
    std::size_t end = i + 1;
    while (end < text.size() && (static_cast<unsigned char>(text[end]) & 0xC0U) == 0x80U) ++end;
    const std::size_t wanted = space ? 2 : 1;
    if (chars + wanted > chars_max) {
      if (chars == chars_max) out.erase(last_start);
      out += "\xE2\x80\xA6";
      break;
    }
    if (space) out += ' ';
    space = false;
    last_start = out.size();
    out += text.substr(i, end - i);
    chars += wanted;
    i = end;
  }
  return is_valid_utf8(out) ? out : std::string();
}

/// The text of one element while it is open.
struct Capture {
  std::string text;
  bool open = false;
  bool done = false;
};

/// What the tags of the page say, gathered one by one.
class Collector {
 public:
  void take(const HtmlToken& token);
  json::object answer(std::string_view page_url) const;

 private:
  void open(const HtmlToken& tag);
  void close(std::string_view name);
  void text(std::string_view text);
  void meta(const HtmlToken& tag);
  void link(const HtmlToken& tag);
  void image(const HtmlToken& tag);
  void property(std::string_view name, std::string_view content);
  static void keep_first(std::string& where, std::string_view attribute) {
    if (where.empty()) where = cut(decode_entities(cut(attribute, kRawTextBytesMax)), kRawTextBytesMax);
  }

  std::map<std::string, std::string, std::less<>> og_;
  std::map<std::string, std::string, std::less<>> twitter_;
  std::string base_;
  std::string description_;
  std::string link_image_, touch_icon_, icon_, item_image_, largest_image_;
  std::int64_t largest_pixels_ = 0;
  Capture title_, heading_;
  std::string body_;
  /// Open elements whose text is not the page's own.
  std::vector<std::string> ignored_;
};

bool is_ignored(std::string_view name) {
  constexpr std::array kNames{"script", "style",  "noscript", "template", "header", "nav",
                              "aside",  "footer", "svg",      "iframe",   "video",  "audio",
                              "canvas", "object", "button",   "textarea", "select", "dialog"};
  return std::ranges::any_of(kNames, [&](std::string_view n) { return n == name; });
}

bool is_inline(std::string_view name) {
  constexpr std::array kNames{"a",      "abbr", "b",   "bdi",  "bdo", "cite", "code",  "em",
                              "font",   "i",    "kbd", "mark", "q",   "s",    "small", "span",
                              "strong", "sub",  "sup", "time", "u",   "var",  "wbr"};
  return std::ranges::any_of(kNames, [&](std::string_view n) { return n == name; });
}

bool is_heading(std::string_view name) { return name == "h1" || name == "h2" || name == "h3"; }

void Collector::property(std::string_view name, std::string_view content) {
  const std::string lower = to_lower_ascii(name);
  if (trim(content).empty() || lower.size() > kPropertyNameBytesMax) return;
  const auto odd = [](char c) {
    return !((c >= 'a' && c <= 'z') || (c >= '0' && c <= '9') || c == ':' || c == '_' || c == '-');
  };
  if (std::ranges::any_of(lower, odd)) return;
  auto& where = lower.starts_with("og:") ? og_ : twitter_;
  // Of several images, the first is the one that the page prefers.
  if (where.size() < kPropertiesMax) keep_first(where[lower], content);
}

void Collector::meta(const HtmlToken& tag) {
  const std::string_view content = tag.attribute("content");
  std::string_view name = tag.attribute("property");
  if (name.empty()) name = tag.attribute("name");
  name = trim(name);
  if (iequals_ascii(name.substr(0, 3), "og:") || iequals_ascii(name.substr(0, 8), "twitter:")) {
    property(name, content);
  } else if (iequals_ascii(name, "description")) {
    keep_first(description_, content);
  } else if (iequals_ascii(tag.attribute("itemprop"), "image")) {
    keep_first(item_image_, content);
  }
}

void Collector::link(const HtmlToken& tag) {
  const std::string_view href = tag.attribute("href");
  for (const std::string_view rel : split(tag.attribute("rel").substr(0, 256), ' ')) {
    if (iequals_ascii(rel, "image_src")) keep_first(link_image_, href);
    if (iequals_ascii(rel, "apple-touch-icon")) keep_first(touch_icon_, href);
    if (iequals_ascii(rel, "icon")) keep_first(icon_, href);
  }
}

void Collector::image(const HtmlToken& tag) {
  const std::string_view src = tag.attribute("src");
  if (iequals_ascii(tag.attribute("itemprop"), "image")) keep_first(item_image_, src);
  const auto side = [&](std::string_view name) {
    return std::clamp<std::int64_t>(parse_int(tag.attribute(name)).value_or(0), 0, 100'000);
  };
  const std::int64_t width = side("width");
  const std::int64_t height = side("height");
  if (width < kImageSideMin || height < kImageSideMin || width * height <= largest_pixels_) return;
  if (src.empty() || src.size() > kUrlBytesMax || !ignored_.empty()) return;
  largest_pixels_ = width * height;
  largest_image_ = decode_entities(src);
}

void Collector::open(const HtmlToken& tag) {
  const std::string_view name = tag.name;
  if (name == "meta") {
    meta(tag);
  } else if (name == "link") {
    link(tag);
  } else if (name == "img") {
    image(tag);
  } else if (name == "base") {
    keep_first(base_, tag.attribute("href"));
  } else if (name == "title") {
    title_.open = !title_.done && ignored_.empty();  // not that of an <svg>
  } else if (is_heading(name)) {
    heading_.open = !heading_.done;
  }
  if (!is_inline(name)) text(" ");
  if (is_ignored(name) && ignored_.size() < kIgnoredDepthMax) ignored_.emplace_back(name);
}

void Collector::close(std::string_view name) {
  if (is_ignored(name)) {
    // What was left open inside is closed with it.
    const auto at = std::ranges::find(ignored_.rbegin(), ignored_.rend(), name);
    if (at != ignored_.rend()) ignored_.erase(at.base() - 1, ignored_.end());
  }
  const auto finish = [](Capture& c) {
    c.open = false;
    c.done = c.done || !trim(c.text).empty();
  };
  if (name == "title") finish(title_);
  if (is_heading(name)) finish(heading_);
  if (!is_inline(name)) text(" ");
}

void Collector::text(std::string_view text) {
  const auto append = [&](std::string& where) {
    if (where.size() < kRawTextBytesMax) where += cut(text, kRawTextBytesMax);
  };
  if (title_.open) return append(title_.text);
  if (heading_.open) append(heading_.text);
  if (ignored_.empty()) append(body_);
}

void Collector::take(const HtmlToken& token) {
  switch (token.kind) {
    case HtmlToken::Kind::Open: return open(token);
    case HtmlToken::Kind::Close: return close(token.name);
    case HtmlToken::Kind::Text:
      if (!token.raw) text(decode_entities(cut(token.text, kRawTextBytesMax)));
      return;
    case HtmlToken::Kind::End: return;
  }
}

json::object Collector::answer(std::string_view page_url) const {
  const auto value = [](const auto& from, std::string_view key) {
    const auto at = from.find(key);
    return at == from.end() ? std::string_view() : std::string_view(at->second);
  };
  std::string base(page_url);
  if (auto resolved = resolve_url(page_url, base_)) base = *std::move(resolved);

  json::object out;
  const auto put_text = [&](std::string_view key, std::size_t chars_max,
                            std::initializer_list<std::string_view> choices) {
    for (const std::string_view choice : choices) {
      if (std::string line = one_line(choice, chars_max); !line.empty()) {
        out[key] = line;
        return;
      }
    }
  };
  const auto put_url = [&](std::string_view key, std::initializer_list<std::string_view> choices) {
    for (const std::string_view choice : choices) {
      if (auto url = resolve_url(base, choice)) {
        out[key] = *url;
        return;
      }
    }
  };

  put_text("og:title", kTextCharsMax,
           {value(og_, "og:title"), value(twitter_, "twitter:title"), title_.text, heading_.text});
  put_text("og:description", kTextCharsMax,
           {value(og_, "og:description"), value(twitter_, "twitter:description"), description_});
  if (!out.contains("og:description")) put_text("og:description", kSummaryCharsMax, {body_});
  put_url("og:image", {value(og_, "og:image"), value(og_, "og:image:url"), value(og_, "og:image:secure_url"),
                       value(twitter_, "twitter:image"), value(twitter_, "twitter:image:src"), link_image_, item_image_,
                       touch_icon_, largest_image_, icon_});
  put_url("og:url", {value(og_, "og:url")});

  for (const auto& [key, content] : og_) {
    if (key == "og:title" || key == "og:description" || key == "og:image" || key == "og:url") continue;
    const std::string_view last = std::string_view(key).substr(key.rfind(':') + 1);
    if (last == "width" || last == "height") {
      // Numbers in the answer; the caller replaces the image's own with what it measures.
      if (const auto n = parse_int(content); n && *n >= 0) out[key] = *n;
    } else if (last == "url" || last == "secure_url" || key == "og:video" || key == "og:audio") {
      put_url(key, {content});
    } else {
      put_text(key, kTextCharsMax, {content});
    }
  }
  return out;
}

}  // namespace

json::object open_graph(const Page& page) noexcept {
  try {
    const std::string text = html_to_utf8(page.bytes.substr(0, kHtmlBytesMax), page.content_type);
    Collector collector;
    HtmlTokens tokens(text);
    while (true) {
      const HtmlToken& token = tokens.next();
      if (token.kind == HtmlToken::Kind::End) break;
      collector.take(token);
    }
    return collector.answer(page.url);
  } catch (...) {
    return {};  // out of memory: the preview is not worth more
  }
}

}  // namespace haechi::messenger::preview

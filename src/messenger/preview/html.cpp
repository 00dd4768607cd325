#include "messenger/preview/html.hpp"

#include <libxml/HTMLparser.h>
#include <libxml/parser.h>
#include <libxml/parserInternals.h>

#include <algorithm>
#include <array>
#include <map>
#include <memory>
#include <mutex>
#include <optional>
#include <string>
#include <utility>

#include "base/text.hpp"
#include "messenger/preview/html_charset.hpp"
#include "messenger/preview/html_url.hpp"

namespace haechi::messenger::preview {
namespace {

/// As deep as libxml2 lets a tree be. Closing a tag looks through all that are open,
/// so without a bound a page of nothing but opened tags would cost its square.
constexpr int kDepthMax = 256;
constexpr int kElementsMax = 50'000;
constexpr std::size_t kRawTextBytesMax = 8 * kTextCharsMax;  ///< gathered before it is cleaned
constexpr std::int64_t kImageSideMin = 64;                   ///< smaller ones are ornaments and trackers

std::string_view sv(const xmlChar* s) {
  return s ? std::string_view(reinterpret_cast<const char*>(s)) : std::string_view();  // UTF-8 by libxml2's contract
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

/// What the parser's callbacks gather.
class Collector {
 public:
  void start(std::string_view name, const xmlChar** attributes);
  void end(std::string_view name);
  void text(std::string_view text);
  bool full() const { return depth_ > kDepthMax || elements_ > kElementsMax; }
  json::object answer(std::string_view page_url);

 private:
  using Attributes = const xmlChar**;
  static std::string_view attribute(Attributes list, std::string_view name) {
    for (; list && list[0]; list += 2) {
      if (iequals_ascii(sv(list[0]), name)) return sv(list[1]);
    }
    return {};
  }

  void meta(Attributes list);
  void link(Attributes list);
  void image(Attributes list);
  void property(std::string_view name, std::string_view content);
  static void keep_first(std::string& where, std::string_view what) {
    if (where.empty()) where = what.substr(0, kRawTextBytesMax);
  }

  std::map<std::string, std::string, std::less<>> og_;
  std::map<std::string, std::string, std::less<>> twitter_;
  std::string base_;
  std::string description_;
  std::string link_image_, touch_icon_, icon_, item_image_, largest_image_;
  std::int64_t largest_pixels_ = 0;
  Capture title_, heading_;
  std::string body_;
  int depth_ = 0;
  int elements_ = 0;
  bool in_head_ = false;
  int ignored_ = 0;  ///< open elements whose text is not the page's own
};

bool is_ignored(std::string_view name) {
  constexpr std::array kNames{"head",     "script", "style",  "noscript", "template", "header", "nav",    "aside",
                              "footer",   "svg",    "iframe", "video",    "audio",    "canvas", "object", "button",
                              "textarea", "select", "dialog"};
  return std::ranges::any_of(kNames, [&](std::string_view n) { return n == name; });
}

bool is_inline(std::string_view name) {
  constexpr std::array kNames{"a",   "abbr", "b",  "bdi",   "bdo",  "cite", "code", "em",  "font", "i",  "kbd",
                              "mark", "q",   "s",  "small", "span", "strong", "sub", "sup", "time", "u", "var", "wbr"};
  return std::ranges::any_of(kNames, [&](std::string_view n) { return n == name; });
}

bool is_heading(std::string_view name) { return name == "h1" || name == "h2" || name == "h3"; }

void Collector::property(std::string_view name, std::string_view content) {
  const std::string lower = to_lower_ascii(trim(name));
  const std::string_view value = trim(content);
  if (value.empty() || lower.size() > kPropertyNameBytesMax) return;
  const auto odd = [](char c) { return !((c >= 'a' && c <= 'z') || (c >= '0' && c <= '9') || c == ':' || c == '_' || c == '-'); };
  if (std::ranges::any_of(lower, odd)) return;
  auto& where = lower.starts_with("og:") ? og_ : twitter_;
  // "first from top to bottom": of several images the first is the page's own choice.
  if (where.size() < kPropertiesMax) where.try_emplace(lower, value.substr(0, kRawTextBytesMax));
}

void Collector::meta(Attributes list) {
  const std::string_view content = attribute(list, "content");
  std::string_view name = attribute(list, "property");
  if (name.empty()) name = attribute(list, "name");
  const std::string_view plain = trim(name);
  if (iequals_ascii(plain.substr(0, 3), "og:") || iequals_ascii(plain.substr(0, 8), "twitter:")) {
    property(plain, content);
  } else if (iequals_ascii(plain, "description")) {
    keep_first(description_, content);
  } else if (iequals_ascii(attribute(list, "itemprop"), "image")) {
    keep_first(item_image_, content);
  }
}

void Collector::link(Attributes list) {
  const std::string_view href = attribute(list, "href");
  for (const std::string_view rel : split(attribute(list, "rel").substr(0, 256), ' ')) {
    if (iequals_ascii(rel, "image_src")) keep_first(link_image_, href);
    if (iequals_ascii(rel, "apple-touch-icon")) keep_first(touch_icon_, href);
    if (iequals_ascii(rel, "icon")) keep_first(icon_, href);
  }
}

void Collector::image(Attributes list) {
  const std::string_view src = attribute(list, "src");
  if (iequals_ascii(attribute(list, "itemprop"), "image")) keep_first(item_image_, src);
  const auto side = [&](std::string_view name) { return std::clamp<std::int64_t>(parse_int(attribute(list, name)).value_or(0), 0, 100'000); };
  const std::int64_t width = side("width");
  const std::int64_t height = side("height");
  if (width < kImageSideMin || height < kImageSideMin || width * height <= largest_pixels_) return;
  if (src.empty() || src.size() > kUrlBytesMax || ignored_ > 0) return;
  largest_pixels_ = width * height;
  largest_image_ = src;
}

void Collector::start(std::string_view name, Attributes attributes) {
  ++depth_;
  ++elements_;
  if (name == "meta") {
    meta(attributes);
  } else if (name == "link") {
    link(attributes);
  } else if (name == "img") {
    image(attributes);
  } else if (name == "base") {
    keep_first(base_, attribute(attributes, "href"));
  } else if (name == "title") {
    title_.open = !title_.done && ignored_ == (in_head_ ? 1 : 0);  // not that of an <svg>
  } else if (is_heading(name)) {
    heading_.open = !heading_.done;
  }
  if (name == "head") in_head_ = true;
  if (is_ignored(name)) ++ignored_;
  if (!is_inline(name)) text(" ");
}

void Collector::end(std::string_view name) {
  --depth_;
  if (name == "head") in_head_ = false;
  if (is_ignored(name) && ignored_ > 0) --ignored_;
  const auto close = [](Capture& c) {
    c.open = false;
    c.done = c.done || !trim(c.text).empty();
  };
  if (name == "title") close(title_);
  if (is_heading(name)) close(heading_);
  if (!is_inline(name)) text(" ");
}

void Collector::text(std::string_view text) {
  const auto append = [&](std::string& where) {
    if (where.size() < kRawTextBytesMax) where += text;
  };
  if (title_.open) return append(title_.text);
  if (heading_.open) append(heading_.text);
  if (ignored_ == 0) append(body_);
}

json::object Collector::answer(std::string_view page_url) {
  const auto value = [](const auto& from, std::string_view key) {
    const auto at = from.find(key);
    return at == from.end() ? std::string_view() : std::string_view(at->second);
  };
  std::string base(page_url);
  if (auto resolved = resolve_url(page_url, base_)) base = *std::move(resolved);

  json::object out;
  const auto put_text = [&](std::string_view key, std::size_t chars_max, std::initializer_list<std::string_view> choices) {
    for (const std::string_view choice : choices) {
      if (std::string line = one_line(choice, chars_max); !line.empty()) {
        out[key] = std::move(line);
        return;
      }
    }
  };
  const auto put_url = [&](std::string_view key, std::initializer_list<std::string_view> choices) {
    for (const std::string_view choice : choices) {
      if (auto url = resolve_url(base, choice)) {
        out[key] = *std::move(url);
        return;
      }
    }
  };

  put_text("og:title", kTextCharsMax, {value(og_, "og:title"), value(twitter_, "twitter:title"), title_.text, heading_.text});
  put_text("og:description", kTextCharsMax, {value(og_, "og:description"), value(twitter_, "twitter:description"), description_});
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

/// Runs the parser. Its callbacks go through C code: no exception may leave them.
class Parse {
 public:
  explicit Parse(const std::string& text) : context_(htmlCreateMemoryParserCtxt(text.data(), static_cast<int>(text.size()))) {}

  bool run(Collector& collector) {
    if (!context_) return false;
    collector_ = &collector;
    // Before the callbacks, because it sets some itself.
    htmlCtxtUseOptions(context_.get(), HTML_PARSE_RECOVER | HTML_PARSE_NOERROR | HTML_PARSE_NOWARNING | HTML_PARSE_NONET |
                                           HTML_PARSE_IGNORE_ENC);
    // The text is UTF-8 by now, whatever its <meta> says.
    if (xmlSwitchEncoding(context_.get(), XML_CHAR_ENCODING_UTF8) != 0) return false;
    // No tree is built: these callbacks take its place.
    *context_->sax = htmlSAXHandler{};
    context_->sax->startElement = [](void* self, const xmlChar* name, const xmlChar** attributes) {
      static_cast<Parse*>(self)->guarded([&](Collector& c) { c.start(sv(name), attributes); });
    };
    context_->sax->endElement = [](void* self, const xmlChar* name) {
      static_cast<Parse*>(self)->guarded([&](Collector& c) { c.end(sv(name)); });
    };
    context_->sax->characters = [](void* self, const xmlChar* text, int length) {
      static_cast<Parse*>(self)->guarded([&](Collector& c) {
        c.text({reinterpret_cast<const char*>(text), static_cast<std::size_t>(length)});
      });
    };
    context_->sax->ignorableWhitespace = context_->sax->characters;
    context_->userData = this;
    htmlParseDocument(context_.get());
    return !failed_;
  }

 private:
  template <class F>
  void guarded(F&& f) noexcept {
    if (stopped_) return;
    try {
      f(*collector_);
      if (!collector_->full()) return;
    } catch (...) {
      failed_ = true;
    }
    stopped_ = true;
    xmlStopParser(context_.get());
  }

  struct Free {
    void operator()(htmlParserCtxtPtr context) const { htmlFreeParserCtxt(context); }
  };
  std::unique_ptr<htmlParserCtxt, Free> context_;
  Collector* collector_ = nullptr;
  bool stopped_ = false;
  bool failed_ = false;
};

}  // namespace

json::object open_graph(const Page& page) noexcept {
  try {
    static std::once_flag once;
    std::call_once(once, [] { xmlInitParser(); });
    const std::string text = html_to_utf8(page.bytes.substr(0, kHtmlBytesMax), page.content_type);
    if (text.empty()) return {};
    Collector collector;
    if (!Parse(text).run(collector)) return {};
    return collector.answer(page.url);
  } catch (...) {
    return {};  // out of memory: the preview is not worth more
  }
}

}  // namespace haechi::messenger::preview

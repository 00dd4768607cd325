#include "messenger/preview/html_charset.hpp"

#include <iconv.h>

#include <algorithm>
#include <array>
#include <cerrno>
#include <cstdint>
#include <utility>

#include "base/text.hpp"

namespace haechi::messenger::preview {
namespace {

constexpr std::string_view kReplacement = "\xEF\xBF\xBD";
constexpr std::size_t kSniffBytes = 4096;  ///< <meta charset> stands in the first bytes

std::size_t find_folded(std::string_view text, std::string_view lower, std::size_t from = 0) {
  for (; from + lower.size() <= text.size(); ++from) {
    if (iequals_ascii(text.substr(from, lower.size()), lower)) return from;
  }
  return std::string_view::npos;
}

/// The value after `name` and '=' in `text`, with or without quotes.
std::string_view value_of(std::string_view text, std::string_view name) {
  const std::size_t at = find_folded(text, name);
  if (at == std::string_view::npos) return {};
  text.remove_prefix(at + name.size());
  const auto skip = [&text](std::string_view what) {
    text.remove_prefix(std::min(text.find_first_not_of(what), text.size()));
  };
  skip(" \t\r\n");
  if (!text.starts_with('=')) return {};
  text.remove_prefix(1);
  skip(" \t\r\n\"'");
  return text.substr(0, text.find_first_of(" \t\r\n\"';/>?"));
}

std::string_view declared_in(std::string_view head) {
  if (const std::string_view start = trim(head); start.starts_with("<?xml")) {
    const std::string_view label = value_of(start.substr(0, start.find('>')), "encoding");
    if (!label.empty()) return label;
  }
  for (std::size_t at = 0; (at = find_folded(head, "<meta", at)) != std::string_view::npos; at += 5) {
    const std::string_view tag = head.substr(at, head.substr(at).find('>'));
    const std::string_view label = value_of(tag, "charset");
    if (!label.empty()) return label;
  }
  return {};
}

/// The encodings of the web under the names iconv knows, https://encoding.spec.whatwg.org/#names-and-labels.
/// Only these: the label comes from outside and iconv_open() loads modules by name.
const char* iconv_name(std::string_view label) {
  constexpr std::array<std::pair<std::string_view, const char*>, 58> kLabels{{
      {"ascii", "CP1252"},
      {"us-ascii", "CP1252"},
      {"iso-8859-1", "CP1252"},
      {"iso8859-1", "CP1252"},
      {"latin1", "CP1252"},
      {"windows-1252", "CP1252"},
      {"cp1252", "CP1252"},
      {"iso-8859-2", "ISO-8859-2"},
      {"iso-8859-3", "ISO-8859-3"},
      {"iso-8859-4", "ISO-8859-4"},
      {"iso-8859-5", "ISO-8859-5"},
      {"iso-8859-6", "ISO-8859-6"},
      {"iso-8859-7", "ISO-8859-7"},
      {"iso-8859-8", "ISO-8859-8"},
      {"iso-8859-9", "CP1254"},
      {"iso-8859-10", "ISO-8859-10"},
      {"iso-8859-13", "ISO-8859-13"},
      {"iso-8859-14", "ISO-8859-14"},
      {"iso-8859-15", "ISO-8859-15"},
      {"iso-8859-16", "ISO-8859-16"},
      {"windows-1250", "CP1250"},
      {"windows-1251", "CP1251"},
      {"cp1251", "CP1251"},
      {"windows-1253", "CP1253"},
      {"windows-1254", "CP1254"},
      {"windows-1255", "CP1255"},
      {"windows-1256", "CP1256"},
      {"windows-1257", "CP1257"},
      {"windows-1258", "CP1258"},
      {"windows-874", "CP874"},
      {"tis-620", "CP874"},
      {"koi8-r", "KOI8-R"},
      {"koi8-u", "KOI8-U"},
      {"macintosh", "MACINTOSH"},
      {"ibm866", "IBM866"},
      {"euc-kr", "CP949"},
      {"euckr", "CP949"},
      {"korean", "CP949"},
      {"ks_c_5601-1987", "CP949"},
      {"ksc5601", "CP949"},
      {"cp949", "CP949"},
      {"uhc", "CP949"},
      {"windows-949", "CP949"},
      {"shift_jis", "CP932"},
      {"shift-jis", "CP932"},
      {"sjis", "CP932"},
      {"windows-31j", "CP932"},
      {"x-sjis", "CP932"},
      {"euc-jp", "EUC-JP"},
      {"x-euc-jp", "EUC-JP"},
      {"iso-2022-jp", "ISO-2022-JP"},
      {"gb2312", "GB18030"},
      {"gbk", "GB18030"},
      {"x-gbk", "GB18030"},
      {"gb18030", "GB18030"},
      {"big5", "BIG5-HKSCS"},
      {"big5-hkscs", "BIG5-HKSCS"},
      {"x-x-big5", "BIG5-HKSCS"},
  }};
  for (const auto& [known, name] : kLabels) {
    if (iequals_ascii(known, label)) return name;
  }
  return nullptr;
}

/// The length of the valid sequence at the start of `text`; 0 when there is none.
std::size_t sequence(std::string_view text) {
  const auto lead = static_cast<unsigned char>(text[0]);
  const std::size_t length = lead < 0x80   ? 1
                             : lead < 0xC2 ? 0
                             : lead < 0xE0 ? 2
                             : lead < 0xF0 ? 3
                             : lead < 0xF5 ? 4
                                           : 0;
  if (length == 0 || length > text.size()) return 0;
  return length == 1 || is_valid_utf8(text.substr(0, length)) ? length : 0;
}

/// Also drops NUL, at which a C parser would stop.
std::string repair(std::string_view text) {
  std::string out;
  out.reserve(text.size());
  while (!text.empty()) {
    const std::size_t length = sequence(text);
    if (length == 0 || text[0] == '\0') {
      out += kReplacement;
      text.remove_prefix(1);
    } else {
      out += text.substr(0, length);
      text.remove_prefix(length);
    }
  }
  return out;
}

/// Valid but for a sequence that the cut at the end broke.
bool looks_like_utf8(std::string_view text) {
  for (std::size_t cut = 0; cut < 4 && cut <= text.size(); ++cut) {
    if (is_valid_utf8(text.substr(0, text.size() - cut))) return true;
  }
  return false;
}

class Iconv {
 public:
  explicit Iconv(const char* from) : handle_(::iconv_open("UTF-8", from)) {}
  ~Iconv() {
    if (*this) ::iconv_close(handle_);
  }
  Iconv(const Iconv&) = delete;
  Iconv& operator=(const Iconv&) = delete;
  explicit operator bool() const { return reinterpret_cast<std::intptr_t>(handle_) != -1; }

  std::string convert(std::string_view bytes) {
    std::string in(bytes);  // iconv wants to be able to write there
    char* from = in.data();
    std::size_t left = in.size();
    std::string out;
    std::array<char, 16384> chunk;
    while (left > 0) {
      char* to = chunk.data();
      std::size_t room = chunk.size();
      const std::size_t done = ::iconv(handle_, &from, &left, &to, &room);
      const int why = errno;
      out.append(chunk.data(), chunk.size() - room);
      if (done != static_cast<std::size_t>(-1) || why == EINVAL) break;  // all of it, or cut in a character
      if (why == E2BIG) continue;
      out += kReplacement;
      ++from;
      --left;
    }
    return out;
  }

 private:
  iconv_t handle_;
};

}  // namespace

std::string_view charset_of_content_type(std::string_view content_type) {
  const std::size_t parameters = content_type.find(';');
  if (parameters == std::string_view::npos) return {};
  return value_of(content_type.substr(parameters + 1), "charset");
}

std::string html_to_utf8(std::string_view bytes, std::string_view content_type) {
  const char* from = nullptr;
  if (bytes.starts_with("\xEF\xBB\xBF")) return repair(bytes.substr(3));
  if (bytes.starts_with("\xFF\xFE")) {
    from = "UTF-16LE";
    bytes.remove_prefix(2);
  } else if (bytes.starts_with("\xFE\xFF")) {
    from = "UTF-16BE";
    bytes.remove_prefix(2);
  } else {
    std::string_view label = charset_of_content_type(content_type);
    if (iequals_ascii(label, "utf-16le") || iequals_ascii(label, "utf-16")) {
      from = "UTF-16LE";
    } else if (iequals_ascii(label, "utf-16be")) {
      from = "UTF-16BE";
    } else {
      if (label.empty()) label = declared_in(bytes.substr(0, kSniffBytes));
      if (iequals_ascii(label, "utf-8") || iequals_ascii(label, "utf8")) return repair(bytes);
      from = iconv_name(label);
      // A page that could read its own <meta> is not UTF-16, whatever that says.
      if (!from && looks_like_utf8(bytes)) return repair(bytes);
      if (!from) from = "CP1252";
    }
  }
  Iconv converter(from);
  return repair(converter ? converter.convert(bytes) : std::string(bytes));
}

}  // namespace haechi::messenger::preview

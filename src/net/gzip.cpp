#include "net/gzip.hpp"

#include <zlib.h>

#include "base/text.hpp"

namespace haechi::net {
namespace {

/// zlib's 256 KB of state, set up once per thread.
class Deflater {
 public:
  Deflater() { ready_ = deflateInit2(&stream_, kLevel, Z_DEFLATED, 15 + 16, 8, Z_DEFAULT_STRATEGY) == Z_OK; }
  ~Deflater() {
    if (ready_) deflateEnd(&stream_);
  }
  Deflater(const Deflater&) = delete;
  Deflater& operator=(const Deflater&) = delete;

  std::string run(std::string_view text) {
    if (!ready_ || deflateReset(&stream_) != Z_OK) return {};
    std::string out;
    out.resize(deflateBound(&stream_, text.size()));
    stream_.next_in = reinterpret_cast<Bytef*>(const_cast<char*>(text.data()));
    stream_.avail_in = static_cast<uInt>(text.size());
    stream_.next_out = reinterpret_cast<Bytef*>(out.data());
    stream_.avail_out = static_cast<uInt>(out.size());
    if (deflate(&stream_, Z_FINISH) != Z_STREAM_END) return {};
    out.resize(stream_.total_out);
    return out;
  }

 private:
  // Level 4 halves the time of the usual 6 and costs JSON 5 % of size.
  static constexpr int kLevel = 4;
  z_stream stream_{};
  bool ready_ = false;
};

}  // namespace

bool accepts_gzip(std::string_view accept_encoding) {
  if (accept_encoding.empty()) return false;
  for (const std::string_view entry : split(accept_encoding, ',')) {
    const auto semicolon = entry.find(';');
    const std::string_view coding = trim(entry.substr(0, semicolon));
    if (!iequals_ascii(coding, "gzip") && coding != "*") continue;
    if (semicolon == std::string_view::npos) return true;
    std::string_view quality = trim(entry.substr(semicolon + 1));
    if (!quality.starts_with("q=")) return true;
    // "q=0", "q=0.000": the client would rather not.
    return quality.substr(2).find_first_not_of("0.") != std::string_view::npos;
  }
  return false;
}

bool worth_compressing(std::string_view content_type) {
  return content_type.starts_with("application/json") || content_type.starts_with("text/") ||
         content_type.starts_with("application/problem+json") || content_type.starts_with("application/javascript") ||
         content_type.starts_with("image/svg");
}

std::string gzip(std::string_view text) {
  if (text.size() > 0xf000'0000U) return {};
  thread_local Deflater deflater;
  return deflater.run(text);
}

}  // namespace haechi::net

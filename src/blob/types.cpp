#include "blob/types.hpp"

#include <algorithm>
#include <cstring>

#include "base/text.hpp"

namespace haechi::blob {
namespace {

bool is_alphanumeric(char c) { return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9'); }

// The sizes of https://spec.matrix.org/v1.19/client-server-api/#thumbnails, smallest first.
struct Size {
  std::uint32_t width, height;
};
constexpr Size kCropped[] = {{32, 32}, {96, 96}};
constexpr Size kScaled[] = {{320, 240}, {640, 480}, {800, 600}};

int nibble(char c) {
  if (c >= '0' && c <= '9') return c - '0';
  if (c >= 'a' && c <= 'f') return c - 'a' + 10;
  return -1;
}

}  // namespace

bool is_valid_media_id(std::string_view id) {
  return !id.empty() && id.size() <= 255 &&
         std::ranges::all_of(id, [](char c) { return is_alphanumeric(c) || c == '-' || c == '_'; });
}

std::optional<MediaId> parse_mxc(std::string_view uri) {
  constexpr std::string_view kScheme = "mxc://";
  if (!uri.starts_with(kScheme)) return std::nullopt;
  uri.remove_prefix(kScheme.size());
  const auto slash = uri.find('/');
  if (slash == std::string_view::npos) return std::nullopt;
  const auto origin = uri.substr(0, slash);
  const auto id = uri.substr(slash + 1);
  const auto of_name = [](char c) {
    return is_alphanumeric(c) || c == '.' || c == '-' || c == ':' || c == '[' || c == ']';
  };
  if (origin.empty() || origin.size() > 255 || !std::ranges::all_of(origin, of_name)) return std::nullopt;
  if (!is_valid_media_id(id)) return std::nullopt;
  return MediaId{std::string(origin), std::string(id)};
}

std::optional<Method> parse_method(std::string_view text) {
  if (text == "crop") return Method::Crop;
  if (text == "scale") return Method::Scale;
  return std::nullopt;
}

ThumbnailSpec snap(ThumbnailSpec wanted) {
  const auto fits = [&](Size s) { return s.width >= wanted.width && s.height >= wanted.height; };
  if (wanted.method == Method::Crop) {
    for (const auto s : kCropped) {
      if (fits(s)) return {s.width, s.height, Method::Crop, wanted.animated};
    }
  }
  for (const auto s : kScaled) {
    if (fits(s)) return {s.width, s.height, Method::Scale, wanted.animated};
  }
  const auto largest = *std::rbegin(kScaled);
  return {largest.width, largest.height, Method::Scale, wanted.animated};
}

std::string to_hex(const Sha256& id) { return hex_encode(id); }

std::optional<Sha256> sha256_from_hex(std::string_view hex) {
  Sha256 out;
  if (hex.size() != out.size() * 2) return std::nullopt;
  for (std::size_t i = 0; i < out.size(); ++i) {
    const int high = nibble(hex[2 * i]);
    const int low = nibble(hex[2 * i + 1]);
    if (high < 0 || low < 0) return std::nullopt;
    out[i] = static_cast<std::uint8_t>(high * 16 + low);
  }
  return out;
}

std::size_t Sha256Hash::operator()(const Sha256& id) const noexcept {
  std::size_t v = 0;
  std::memcpy(&v, id.data(), sizeof v);
  return v;
}

}  // namespace haechi::blob

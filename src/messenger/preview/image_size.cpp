#include "messenger/preview/image_size.hpp"

#include <cstddef>

namespace haechi::messenger::preview {
namespace {

using namespace std::string_view_literals;

std::uint32_t byte_at(std::string_view bytes, std::size_t at) { return static_cast<unsigned char>(bytes[at]); }

std::uint32_t big16(std::string_view bytes, std::size_t at) { return byte_at(bytes, at) << 8 | byte_at(bytes, at + 1); }

std::uint32_t little16(std::string_view bytes, std::size_t at) {
  return byte_at(bytes, at + 1) << 8 | byte_at(bytes, at);
}

std::optional<ImageSize> sensible(ImageSize size) {
  if (size.width == 0 || size.height == 0) return std::nullopt;
  return size;
}

/// The segment that starts a frame has the size; everything before it is skipped by its length.
std::optional<ImageSize> jpeg_size(std::string_view bytes) {
  std::size_t at = 2;
  while (at + 9 <= bytes.size() && byte_at(bytes, at) == 0xFF) {
    const auto marker = byte_at(bytes, at + 1);
    if (marker == 0xFF) {  // padding
      ++at;
      continue;
    }
    const bool starts_frame = marker >= 0xC0 && marker <= 0xCF && marker != 0xC4 && marker != 0xC8 && marker != 0xCC;
    if (starts_frame) return sensible({big16(bytes, at + 7), big16(bytes, at + 5)});
    if (marker == 0xD9 || marker == 0xDA) return std::nullopt;
    at += 2 + big16(bytes, at + 2);
  }
  return std::nullopt;
}

}  // namespace

std::optional<ImageSize> image_size(std::string_view bytes) {
  if (bytes.starts_with("\x89PNG\r\n\x1a\n"sv)) {
    if (bytes.size() < 24 || bytes.substr(12, 4) != "IHDR") return std::nullopt;
    return sensible({big16(bytes, 16) << 16 | big16(bytes, 18), big16(bytes, 20) << 16 | big16(bytes, 22)});
  }
  if (bytes.starts_with("GIF87a") || bytes.starts_with("GIF89a")) {
    if (bytes.size() < 10) return std::nullopt;
    return sensible({little16(bytes, 6), little16(bytes, 8)});
  }
  if (bytes.starts_with("\xFF\xD8\xFF"sv)) return jpeg_size(bytes);
  return std::nullopt;
}

}  // namespace haechi::messenger::preview

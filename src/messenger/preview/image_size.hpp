#pragma once
// How large a picture says it is, read from its first bytes; nothing is decoded.

#include <cstdint>
#include <optional>
#include <string_view>

namespace haechi::messenger::preview {

struct ImageSize {
  std::uint32_t width = 0, height = 0;
};

/// PNG, GIF and JPEG. Nothing for other formats, and where the bytes are cut off or make no sense.
std::optional<ImageSize> image_size(std::string_view bytes);

}  // namespace haechi::messenger::preview

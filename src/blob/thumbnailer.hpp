#pragma once
// Small pictures of large ones, by libvips.

#include <chrono>
#include <cstdint>
#include <string>

#include "base/loop.hpp"
#include "base/pool.hpp"
#include "blob/blob_store.hpp"
#include "blob/types.hpp"

namespace haechi::blob {

struct ThumbnailOptions {
  std::uint64_t pixels_max = 100'000'000;           ///< width times height of the source
  std::uint64_t animation_pixels_max = 40'000'000;  ///< of all frames together; past it a still is made
  std::uint32_t frames_max = 200;
  std::uint64_t source_bytes_max = 256 * 1024 * 1024;
  std::chrono::milliseconds time_max{10'000};  ///< for one thumbnail, once it has begun
  std::size_t waiting_max = 256;
};

struct Thumbnail {
  std::string bytes;
  std::string content_type;  ///< image/jpeg, image/png or image/webp
  std::uint32_t width = 0;
  std::uint32_t height = 0;
};

/// Errc::NotAnImage when it is not a readable PNG, JPEG, WebP or GIF; Errc::TooLarge past the
/// limits; base Errc::Timeout past time_max. Blocking, one thread at a time. Never enlarges.
Result<Thumbnail> make_thumbnail(const File& file, const ThumbnailSpec& spec, const ThumbnailOptions& options);

/// The first bytes of a format that is decoded: "image/png" and so on; empty for anything else.
std::string_view sniff_image(std::string_view head);

/// One thread that decodes, so that memory and processor use stay bounded. Loop thread only.
class Thumbnailer {
 public:
  /// Starts libvips: one instance a process at a time.
  Thumbnailer(Loop& loop, ThumbnailOptions options);
  /// As make_thumbnail; Errc::Busy when too many wait.
  Task<Result<Thumbnail>> make(FilePtr file, ThumbnailSpec spec);

 private:
  const ThumbnailOptions options_;
  BlockingPool pool_;
};

}  // namespace haechi::blob

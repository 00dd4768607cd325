#include "blob/thumbnailer.hpp"

#include <unistd.h>
#include <vips/vips.h>

#include <algorithm>
#include <array>
#include <cmath>
#include <memory>
#include <mutex>
#include <utility>

namespace haechi::blob {
namespace {

constexpr int kJpegQuality = 80;
constexpr int kWebpQuality = 75;
// Decoders that keep the whole picture (progressive JPEG, interlaced PNG, WebP) need up to six bytes a pixel.
constexpr std::uint64_t kBufferedPixelsMax = 40'000'000;

struct Unref {
  void operator()(void* object) const noexcept { g_object_unref(object); }
};
using Image = std::unique_ptr<VipsImage, Unref>;
using Source = std::unique_ptr<VipsSource, Unref>;

void start_vips() {
  static std::once_flag once;
  std::call_once(once, [] {
    if (VIPS_INIT("haechi") != 0) throw std::runtime_error("libvips does not start");
    // What a damaged upload makes it say belongs to nobody's log.
    g_log_set_handler("VIPS", G_LOG_LEVEL_WARNING, [](const char*, GLogLevelFlags, const char*, void*) {}, nullptr);
    vips_concurrency_set(1);
    vips_cache_set_max(0);
    vips_cache_set_max_mem(0);
    vips_cache_set_max_files(0);
    // Everything else that libvips could read has had its holes.
    vips_operation_block_set("VipsForeignLoad", TRUE);
    for (const char* safe :
         {"VipsForeignLoadJpeg", "VipsForeignLoadPng", "VipsForeignLoadWebp", "VipsForeignLoadNsgif"}) {
      vips_operation_block_set(safe, FALSE);
    }
  });
}

std::unexpected<Error> unreadable(std::string_view what) {
  std::string message(what);
  message.append(": ").append(vips_error_buffer());
  vips_error_clear();
  while (!message.empty() && (message.back() == '\n' || message.back() == ' ')) message.pop_back();
  return fail(Errc::NotAnImage, std::move(message));
}

/// libvips works while pixels are pulled; the signal comes now and then meanwhile.
/// (Not for WebP, which is decoded in one go: there the pixel limit bounds the time.)
struct Deadline {
  std::chrono::steady_clock::time_point at;
  bool passed = false;
};
void check_deadline(VipsImage* image, VipsProgress*, Deadline* deadline) {
  if (std::chrono::steady_clock::now() < deadline->at) return;
  deadline->passed = true;
  vips_image_set_kill(image, TRUE);
}

Result<Source> open_source(const File& file) {
  // A descriptor of its own: the file position of ours is shared with others.
  Source source(vips_source_new_from_file(("/proc/self/fd/" + std::to_string(file.fd())).c_str()));
  if (!source) return unreadable("open");
  return source;
}

struct Header {
  std::uint32_t width = 0;
  std::uint32_t height = 0;
  std::uint32_t pages = 1;
  bool animated = false;  ///< and cheap enough to stay so
};

Result<Header> read_header(const File& file, std::string_view type, const ThumbnailSpec& spec,
                           const ThumbnailOptions& options) {
  TRY(const Source source, open_source(file));
  const Image image(vips_image_new_from_source(source.get(), "", "access", VIPS_ACCESS_SEQUENTIAL, nullptr));
  if (!image) return unreadable("not a readable image");
  Header h;
  h.width = static_cast<std::uint32_t>(vips_image_get_width(image.get()));
  h.height = static_cast<std::uint32_t>(vips_image_get_height(image.get()));
  h.pages = static_cast<std::uint32_t>(std::max(vips_image_get_n_pages(image.get()), 1));
  const std::uint64_t pixels = std::uint64_t{h.width} * h.height;
  const bool buffered = type == "image/webp" || vips_image_get_typeof(image.get(), "interlaced") != 0;
  const auto limit = buffered ? std::min(options.pixels_max, kBufferedPixelsMax) : options.pixels_max;
  if (pixels > limit) {
    return fail(Errc::TooLarge, "an image of " + std::to_string(pixels) + " pixels is too large for a thumbnail");
  }
  h.animated = spec.animated == Animated::Yes && h.pages > 1 && h.pages <= options.frames_max &&
               pixels * h.pages <= options.animation_pixels_max;
  return h;
}

Result<Image> load(const File& file, int width, int height, VipsSize size, VipsInteresting crop, const char* pages) {
  TRY(const Source source, open_source(file));
  VipsImage* out = nullptr;
  // The profile matters only where the picture has one of its own.
  if (vips_thumbnail_source(source.get(), &out, width, "height", height, "size", size, "crop", crop, "option_string",
                            pages, "export_profile", "srgb", "fail_on", VIPS_FAIL_ON_ERROR, nullptr) != 0) {
    return unreadable("not a readable image");
  }
  return Image(out);
}

/// Runs the pipeline: afterwards the small picture is in memory.
Result<Image> pull(Image image, Deadline& deadline) {
  vips_image_set_progress(image.get(), TRUE);
  g_signal_connect(image.get(), "eval", G_CALLBACK(check_deadline), &deadline);
  Image out(vips_image_copy_memory(image.get()));
  if (deadline.passed) {
    vips_error_clear();
    return fail(haechi::Errc::Timeout, "the thumbnail took too long");
  }
  if (!out) return unreadable("not a readable image");
  return out;
}

/// Drops an alpha channel that hides nothing: a screenshot becomes a JPEG instead of a large PNG.
Result<Image> without_idle_alpha(Image image) {
  if (!vips_image_hasalpha(image.get()) || vips_image_get_format(image.get()) != VIPS_FORMAT_UCHAR) return image;
  const int bands = vips_image_get_bands(image.get());
  VipsImage* alpha = nullptr;
  if (vips_extract_band(image.get(), &alpha, bands - 1, nullptr) != 0) return unreadable("alpha");
  const Image owned(alpha);
  double least = 0;
  if (vips_min(alpha, &least, nullptr) != 0) return unreadable("alpha");
  if (least < 255) return image;
  VipsImage* colour = nullptr;
  if (vips_extract_band(image.get(), &colour, 0, "n", bands - 1, nullptr) != 0) return unreadable("alpha");
  return Image(colour);
}

Result<Thumbnail> save(Image image, bool animated) {
  Thumbnail out;
  out.width = static_cast<std::uint32_t>(vips_image_get_width(image.get()));
  out.height = static_cast<std::uint32_t>(animated ? vips_image_get_page_height(image.get())
                                                   : vips_image_get_height(image.get()));
  void* bytes = nullptr;
  std::size_t size = 0;
  int failed = 0;
  if (animated) {
    out.content_type = "image/webp";
    failed = vips_webpsave_buffer(image.get(), &bytes, &size, "Q", kWebpQuality, "effort", 2, "strip", TRUE, nullptr);
  } else if (vips_image_hasalpha(image.get())) {
    out.content_type = "image/png";
    failed = vips_pngsave_buffer(image.get(), &bytes, &size, "strip", TRUE, nullptr);
  } else {
    out.content_type = "image/jpeg";
    failed = vips_jpegsave_buffer(image.get(), &bytes, &size, "Q", kJpegQuality, "optimize_coding", TRUE, "strip", TRUE,
                                  nullptr);
  }
  if (failed) return unreadable("encode");
  out.bytes.assign(static_cast<const char*>(bytes), size);
  g_free(bytes);
  return out;
}

Result<Thumbnail> make_still(const File& file, const ThumbnailSpec& spec, Deadline& deadline) {
  const auto crop = spec.method == Method::Crop ? VIPS_INTERESTING_CENTRE : VIPS_INTERESTING_NONE;
  TRY(Image lazy, load(file, static_cast<int>(spec.width), static_cast<int>(spec.height), VIPS_SIZE_DOWN, crop, ""));
  TRY(Image small, pull(std::move(lazy), deadline));
  TRY(Image plain, without_idle_alpha(std::move(small)));
  return save(std::move(plain), false);
}

/// Frames lie below each other in one tall picture; libvips scales them but does
/// not crop them, so the middle is cut from each.
Result<Image> crop_frames(Image frames, int width, int height) {
  const int page_height = vips_image_get_page_height(frames.get());
  const int pages = vips_image_get_height(frames.get()) / page_height;
  const int left = (vips_image_get_width(frames.get()) - width) / 2;
  std::vector<Image> owned;
  std::vector<VipsImage*> cut;
  for (int i = 0; i < pages; ++i) {
    VipsImage* one = nullptr;
    if (vips_extract_area(frames.get(), &one, left, i * page_height + (page_height - height) / 2, width, height,
                          nullptr) != 0) {
      return unreadable("crop");
    }
    owned.emplace_back(one);
    cut.push_back(one);
  }
  VipsImage* joined = nullptr;
  if (vips_arrayjoin(cut.data(), &joined, pages, "across", 1, nullptr) != 0) return unreadable("crop");
  const Image kept(joined);
  VipsImage* writable = nullptr;  // metadata of a shared image must not change
  if (vips_copy(joined, &writable, nullptr) != 0) return unreadable("crop");
  vips_image_set_int(writable, VIPS_META_PAGE_HEIGHT, height);
  return Image(writable);
}

Result<Thumbnail> make_animated(const File& file, const Header& header, const ThumbnailSpec& spec, Deadline& deadline) {
  const double across = static_cast<double>(spec.width) / header.width;
  const double down = static_cast<double>(spec.height) / header.height;
  const double factor = std::min(spec.method == Method::Crop ? std::max(across, down) : std::min(across, down), 1.0);
  const int width = std::max(static_cast<int>(std::lround(header.width * factor)), 1);
  const int height = std::max(static_cast<int>(std::lround(header.height * factor)), 1);
  TRY(Image lazy, load(file, width, height, VIPS_SIZE_FORCE, VIPS_INTERESTING_NONE, "[n=-1]"));
  TRY(Image frames, pull(std::move(lazy), deadline));
  if (spec.method == Method::Crop) {
    const int to_width = std::min(width, static_cast<int>(spec.width));
    const int to_height = std::min(vips_image_get_page_height(frames.get()), static_cast<int>(spec.height));
    TRY(frames, crop_frames(std::move(frames), to_width, to_height));
  }
  return save(std::move(frames), true);
}

}  // namespace

std::string_view sniff_image(std::string_view head) {
  if (head.starts_with("\x89PNG\r\n\x1a\n")) return "image/png";
  if (head.starts_with("\xff\xd8\xff")) return "image/jpeg";
  if (head.starts_with("GIF87a") || head.starts_with("GIF89a")) return "image/gif";
  if (head.size() >= 12 && head.starts_with("RIFF") && head.substr(8, 4) == "WEBP") return "image/webp";
  return {};
}

Result<Thumbnail> make_thumbnail(const File& file, const ThumbnailSpec& spec, const ThumbnailOptions& options) {
  start_vips();
  if (file.size() > options.source_bytes_max) return fail(Errc::TooLarge, "the file is too large for a thumbnail");
  std::array<char, 16> head{};
  const auto n = ::pread(file.fd(), head.data(), head.size(), 0);
  if (n < 0) return fail(Errc::Io, "the image cannot be read");
  const auto type = sniff_image({head.data(), static_cast<std::size_t>(n)});
  if (type.empty()) return fail(Errc::NotAnImage, "thumbnails are made of PNG, JPEG, GIF and WebP only");
  Deadline deadline{std::chrono::steady_clock::now() + options.time_max};
  TRY(const Header header, read_header(file, type, spec, options));
  auto made = header.animated ? make_animated(file, header, spec, deadline) : make_still(file, spec, deadline);
  vips_thread_shutdown();
  return made;
}

Thumbnailer::Thumbnailer(Loop& loop, ThumbnailOptions options)
    : options_(options), pool_(loop, "thumbnails", 1, options.waiting_max) {
  start_vips();
}

Task<Result<Thumbnail>> Thumbnailer::make(FilePtr file, ThumbnailSpec spec) {
  auto made =
      co_await pool_.run([this, file = std::move(file), spec] { return make_thumbnail(*file, spec, options_); });
  if (!made && made.error().is(haechi::Errc::Overloaded)) co_return fail(Errc::Busy, std::move(made.error().message));
  co_return made;
}

}  // namespace haechi::blob

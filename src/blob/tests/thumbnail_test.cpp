#include "blob/thumbnailer.hpp"

#include <vips/vips.h>

#include "blob/tests/fixture.hpp"

using namespace haechi;
using namespace haechi::blob;
using namespace haechi::blob::test;

namespace {

struct Picture {
  int width = 400;
  int height = 300;
  int bands = 3;  ///< 4: with alpha
  int alpha = 255;
  int frames = 1;
  int orientation = 0;
};

/// No single colour, and no two frames alike; `suffix` as libvips writes files: ".png", ".jpg[interlace]".
std::string picture(const Picture& p, const char* suffix) {
  const int height = p.height * p.frames;
  std::string pixels;
  for (int y = 0; y < height; ++y) {
    for (int x = 0; x < p.width; ++x) {
      const int frame = y / p.height;
      const int values[] = {x / 2 + 40 * frame, y / 2, 90 * frame, p.alpha};
      for (int band = 0; band < p.bands; ++band) pixels.push_back(static_cast<char>(values[band]));
    }
  }
  VipsImage* raw =
      vips_image_new_from_memory(pixels.data(), pixels.size(), p.width, height, p.bands, VIPS_FORMAT_UCHAR);
  REQUIRE(raw != nullptr);
  VipsImage* image = nullptr;
  const auto colours = p.bands == 1 ? VIPS_INTERPRETATION_B_W : VIPS_INTERPRETATION_sRGB;
  REQUIRE(vips_copy(raw, &image, "interpretation", colours, nullptr) == 0);
  if (p.frames > 1) {
    vips_image_set_int(image, "page-height", p.height);
    std::vector<int> delay(static_cast<std::size_t>(p.frames), 70);
    vips_image_set_array_int(image, "delay", delay.data(), p.frames);
  }
  if (p.orientation) vips_image_set_int(image, VIPS_META_ORIENTATION, p.orientation);
  void* out = nullptr;
  std::size_t size = 0;
  if (vips_image_write_to_buffer(image, suffix, &out, &size, nullptr) != 0) FAIL(vips_error_buffer());
  std::string result(static_cast<const char*>(out), size);
  g_free(out);
  g_object_unref(image);
  g_object_unref(raw);
  return result;
}

struct Fixture {
  TempDir dir;
  Fixture() { static_cast<void>(VIPS_INIT("test")); }

  Result<Thumbnail> make(const std::string& bytes, ThumbnailSpec spec, ThumbnailOptions options = {}) {
    const auto path = dir.path + "/image";
    std::ofstream(path, std::ios::binary) << bytes;
    const auto files = posix_file_system();
    const File file(files->open_read(path).value(), bytes.size());
    return make_thumbnail(file, spec, options);
  }
};

struct Facts {
  int width, height, pages, bands;
  bool metadata;
};
Facts facts_of(const std::string& bytes) {
  VipsImage* image = vips_image_new_from_buffer(bytes.data(), bytes.size(), "", nullptr);
  REQUIRE(image != nullptr);
  const Facts out{vips_image_get_width(image), vips_image_get_height(image), vips_image_get_n_pages(image),
                  vips_image_get_bands(image),
                  vips_image_get_typeof(image, VIPS_META_EXIF_NAME) != 0 ||
                      vips_image_get_typeof(image, VIPS_META_ORIENTATION) != 0};
  g_object_unref(image);
  return out;
}

constexpr ThumbnailSpec kCrop96{96, 96, Method::Crop, Animated::No};
constexpr ThumbnailSpec kScale320{320, 240, Method::Scale, Animated::No};
constexpr ThumbnailSpec kMoving{320, 240, Method::Scale, Animated::Yes};
constexpr ThumbnailSpec kMovingCrop{96, 96, Method::Crop, Animated::Yes};

Task<void> thumbnail_into(Media& media, MediaId id, ThumbnailSpec spec, std::vector<Result<Opened>>& out) {
  out.push_back(co_await media.thumbnail(std::move(id), spec, 0s));
}

}  // namespace

TEST_CASE_FIXTURE(Fixture, "each format becomes a small picture, cropped or fitted, never enlarged") {
  struct Row {
    const char* suffix;
    Picture picture;
    ThumbnailSpec spec;
    const char* type;
    int width, height;
  };
  const Row rows[] = {
      {".png", {}, kCrop96, "image/jpeg", 96, 96},
      {".png", {}, kScale320, "image/jpeg", 320, 240},
      {".jpg", {.width = 1000, .height = 200}, kScale320, "image/jpeg", 320, 64},
      {".jpg", {.width = 200, .height = 1000}, kScale320, "image/jpeg", 48, 240},
      {".jpg[interlace]", {}, kScale320, "image/jpeg", 320, 240},
      {".png[interlace]", {}, kScale320, "image/jpeg", 320, 240},
      {".webp", {}, kCrop96, "image/jpeg", 96, 96},
      {".gif", {}, kScale320, "image/jpeg", 320, 240},
      {".png", {.bands = 4, .alpha = 100}, kScale320, "image/png", 320, 240},
      {".webp", {.bands = 4, .alpha = 100}, kCrop96, "image/png", 96, 96},
      {".png", {.bands = 4, .alpha = 255}, kScale320, "image/jpeg", 320, 240},
      {".png", {.width = 40, .height = 20}, kScale320, "image/jpeg", 40, 20},
      {".png", {.width = 40, .height = 20}, kCrop96, "image/jpeg", 40, 20},
      {".png", {.width = 1, .height = 1}, kCrop96, "image/jpeg", 1, 1},
      {".png", {.bands = 1}, kScale320, "image/jpeg", 320, 240},
  };
  for (const auto& row : rows) {
    CAPTURE(row.suffix);
    CAPTURE(row.width);
    CAPTURE(row.picture.bands);
    const auto got = make(picture(row.picture, row.suffix), row.spec);
    if (!got) FAIL(got.error().message);
    CHECK(got->content_type == row.type);
    CHECK(sniff_image(got->bytes) == row.type);
    CHECK(static_cast<int>(got->width) == row.width);
    CHECK(static_cast<int>(got->height) == row.height);
    const auto facts = facts_of(got->bytes);
    CHECK(facts.width == row.width);
    CHECK(facts.height == row.height);
    CHECK_FALSE(facts.metadata);
  }
}

TEST_CASE_FIXTURE(Fixture, "the camera's orientation is applied and its notes are dropped") {
  const auto source = picture({.width = 400, .height = 200, .orientation = 6}, ".jpg");
  REQUIRE(facts_of(source).metadata);
  const auto got = make(source, kScale320);
  REQUIRE(got);
  const auto facts = facts_of(got->bytes);
  CHECK(facts.height == 240);
  CHECK(facts.width == 120);
  CHECK_FALSE(facts.metadata);
}

TEST_CASE_FIXTURE(Fixture, "a moving picture keeps moving only when asked and cheap") {
  for (const auto* suffix : {".gif", ".webp"}) {
    CAPTURE(suffix);
    const auto source = picture({.frames = 5}, suffix);
    REQUIRE(facts_of(source).pages == 5);
    CHECK(make(source, kScale320)->content_type == "image/jpeg");
    CHECK(make(source, kMoving, {.frames_max = 4})->content_type == "image/jpeg");
    const auto scaled = make(source, kMoving);
    if (!scaled) FAIL(scaled.error().message);
    CHECK(scaled->content_type == "image/webp");
    CHECK(scaled->width == 320);
    CHECK(scaled->height == 240);
    CHECK(facts_of(scaled->bytes).pages == 5);
    const auto cropped = make(source, kMovingCrop);
    if (!cropped) FAIL(cropped.error().message);
    CHECK(facts_of(cropped->bytes).pages == 5);
    CHECK(facts_of(cropped->bytes).width == 96);
    CHECK(facts_of(cropped->bytes).height == 96);
  }
  CHECK(make(picture({}, ".png"), kMoving)->content_type == "image/jpeg");
}

TEST_CASE_FIXTURE(Fixture, "what is no image, or a dangerous one, is refused") {
  CHECK(make("", kCrop96).error().is(blob::Errc::NotAnImage));
  CHECK(make("hello", kCrop96).error().is(blob::Errc::NotAnImage));
  CHECK(make("<svg xmlns=\"http://www.w3.org/2000/svg\" width=\"9\" height=\"9\"/>", kCrop96)
            .error()
            .is(blob::Errc::NotAnImage));
  CHECK(make(picture({}, ".tif"), kCrop96).error().is(blob::Errc::NotAnImage));
  CHECK(make("\x89PNG\r\n\x1a\n and no more", kCrop96).error().is(blob::Errc::NotAnImage));
  for (const auto* suffix : {".png", ".jpg", ".webp", ".gif"}) {  // half a picture, or none
    const auto whole = picture({.width = 800, .height = 600}, suffix);
    const auto got = make(whole.substr(0, whole.size() / 2), kScale320);
    if (!got) CHECK(got.error().is(blob::Errc::NotAnImage));
  }
  CHECK(make(picture({}, ".png"), kCrop96, {.pixels_max = 400 * 300 - 1}).error().is(blob::Errc::TooLarge));
  CHECK(make(picture({.width = 4000, .height = 4000, .bands = 1}, ".jpg"), kScale320,
             {.time_max = std::chrono::milliseconds(-1)})
            .error()
            .is(haechi::Errc::Timeout));
}

TEST_CASE_FIXTURE(Fixture, "damaged pictures never bring the decoder down") {
  SeededRandom random(3);
  for (const auto* suffix : {".png", ".jpg", ".webp", ".gif"}) {
    const auto whole =
        picture({.width = 64, .height = 64, .frames = std::string_view(suffix) == ".gif" ? 3 : 1}, suffix);
    for (int i = 0; i < 60; ++i) {
      auto bytes = whole;
      for (int k = 0; k < 4; ++k) bytes[8 + random.below(bytes.size() - 8)] = static_cast<char>(random.below(256));
      const auto got = make(bytes, i % 2 ? kMoving : kCrop96);
      if (got) CHECK(got->width <= 320);
    }
  }
}

TEST_CASE_FIXTURE(Fixture, "a herd makes a thumbnail once, and it is kept") {
  Node node(dir.path);
  const auto id = node.upload("@u:hs", picture({}, ".png"), {"p.png", "image/png"}).value();
  std::vector<Result<Opened>> got;
  Scope scope;
  for (int i = 0; i < 20; ++i) scope.spawn(thumbnail_into(*node.media, id, {90, 90, Method::Crop}, got));
  node.loop.run_until([&] { return scope.running() == 0; });
  REQUIRE(got.size() == 20);
  for (const auto& one : got) {
    REQUIRE(one);
    CHECK(one->content_type == "image/jpeg");
    CHECK(one->record.id == id);
    CHECK(one->sha256 == got.front()->sha256);
  }
  const auto made = [&] {
    return node.metrics.counter("haechi_media_thumbnails_total", "Thumbnails made.", "result=\"made\"").value();
  };
  CHECK(made() == 1);
  CHECK(node.loop.run(node.media->thumbnail(id, {96, 96, Method::Crop}, 0s)).has_value());
  CHECK(made() == 1);
  CHECK(files_below(node.root) == 2);

  // Lost from the disk, it is made again; with its original it goes.
  std::filesystem::remove(node.blobs->path_of(got.front()->sha256));
  CHECK(node.loop.run(node.blobs->verify(got.front()->sha256)).value() == Condition::Missing);
  CHECK(node.loop.run(node.media->thumbnail(id, {96, 96, Method::Crop}, 0s)).has_value());
  CHECK(made() == 2);
  REQUIRE(node.loop.run(node.media->remove(id)));
  node.loop.run_until([&] { return files_below(node.root) == 0; });
}

TEST_CASE_FIXTURE(Fixture, "what cannot become a thumbnail is tried once") {
  Node node(dir.path);
  const auto id = node.upload("@u:hs", "hello").value();
  for (int i = 0; i < 3; ++i) {
    CHECK(node.loop.run(node.media->thumbnail(id, {96, 96, Method::Crop}, 0s)).error().is(blob::Errc::NotAnImage));
  }
  CHECK(node.metrics.counter("haechi_media_thumbnails_total", "Thumbnails made.", "result=\"failed\"").value() == 1);
  CHECK(node.loop.run(node.media->thumbnail({"hs", "none"}, {96, 96, Method::Crop}, 0s))
            .error()
            .is(blob::Errc::NotFound));
}

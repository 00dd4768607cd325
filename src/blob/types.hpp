#pragma once
// Values of the media service. No I/O.

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>

#include "base/clock.hpp"
#include "base/hash.hpp"

namespace haechi::blob {

/// mxc://origin/id
struct MediaId {
  std::string origin;
  std::string id;

  std::string uri() const { return "mxc://" + origin + "/" + id; }
  /// "origin/id": the subject of feed entries and the key of maps.
  std::string key() const { return origin + "/" + id; }
  bool operator==(const MediaId&) const = default;
};

/// Nothing unless it is mxc:// with a plausible server name and an id of [A-Za-z0-9_-]{1,255}.
std::optional<MediaId> parse_mxc(std::string_view uri);
bool is_valid_media_id(std::string_view id);

enum class State : std::int8_t { Pending = 0, Complete = 1, Quarantined = 2 };

struct Record {
  MediaId id;
  std::string owner;  ///< user id
  State state = State::Pending;
  Sha256 sha256{};  ///< all zero while pending
  std::uint64_t bytes = 0;
  std::string content_type;  ///< as the uploader said; application/octet-stream when not said
  std::string upload_name;   ///< may be empty
  WallMs created_ms = 0;
  WallMs expires_ms = 0;  ///< of a pending one
};

/// What the uploader says about the content.
struct UploadInfo {
  std::string name;
  std::string content_type;
};

enum class Method : std::int8_t { Crop = 0, Scale = 1 };
std::optional<Method> parse_method(std::string_view text);

enum class Animated : std::int8_t { No = 0, Yes = 1 };

struct ThumbnailSpec {
  std::uint32_t width = 0;
  std::uint32_t height = 0;
  Method method = Method::Scale;
  Animated animated = Animated::No;
  bool operator==(const ThumbnailSpec&) const = default;
};

/// The standard size that serves the request: the smallest of its method that is
/// no smaller either way, else the next larger scaled one, else the largest.
ThumbnailSpec snap(ThumbnailSpec wanted);

std::string to_hex(const Sha256& id);
std::optional<Sha256> sha256_from_hex(std::string_view hex);

struct Sha256Hash {
  std::size_t operator()(const Sha256& id) const noexcept;
};

}  // namespace haechi::blob

#include "blob/error.hpp"

namespace haechi::blob {
namespace {

class BlobCategory final : public std::error_category {
 public:
  const char* name() const noexcept override { return "blob"; }
  std::string message(int value) const override {
    switch (static_cast<Errc>(value)) {
      case Errc::Ok: return "ok";
      case Errc::NotFound: return "no such media";
      case Errc::TooLarge: return "too large";
      case Errc::NotYetUploaded: return "not yet uploaded";
      case Errc::CannotOverwrite: return "the media has content already";
      case Errc::Expired: return "the reserved media id has expired";
      case Errc::NotOwner: return "reserved by another user";
      case Errc::QuotaExceeded: return "the user's media quota is used up";
      case Errc::NotAnImage: return "not an image that can be read";
      case Errc::Quarantined: return "quarantined";
      case Errc::Io: return "media storage failed";
      case Errc::Busy: return "too much at the same time";
    }
    return "unknown error";
  }
};

}  // namespace

const std::error_category& blob_category() noexcept {
  static const BlobCategory category;
  return category;
}

}  // namespace haechi::blob

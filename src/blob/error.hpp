#pragma once
#include <system_error>

#include "base/result.hpp"

namespace haechi::blob {

enum class Errc {
  Ok = 0,
  NotFound,         ///< no such media, or no such blob
  TooLarge,         ///< past the upload limit, or an image with too many pixels
  NotYetUploaded,   ///< the id is reserved and its content did not come in time
  CannotOverwrite,  ///< the id has content already
  Expired,          ///< the reserved id was not used in time
  NotOwner,         ///< the id was reserved by somebody else
  QuotaExceeded,    ///< the user's total is used up
  NotAnImage,       ///< no thumbnail can be made of this content
  Quarantined,
  Io,    ///< the disk failed, or a file is damaged
  Busy,  ///< a bound is reached (reserved ids of a user, waiting work): try later
};

const std::error_category& blob_category() noexcept;
inline std::error_code make_error_code(Errc c) noexcept { return {static_cast<int>(c), blob_category()}; }

}  // namespace haechi::blob

template <>
struct std::is_error_code_enum<haechi::blob::Errc> : std::true_type {};

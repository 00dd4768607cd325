#pragma once
// What the messenger can refuse. api/errors.cpp gives each its Matrix errcode and HTTP status.

#include <system_error>

#include "base/result.hpp"

namespace haechi::messenger {

enum class Errc {
  Ok = 0,
  Forbidden,
  NotFound,
  Unrecognized,
  BadJson,
  NotJson,
  InvalidParam,
  MissingParam,
  TooLarge,
  RoomInUse,
  InvalidRoomState,
  UnsupportedRoomVersion,
  IncompatibleRoomVersion,
  BadAlias,
  BadState,
  CannotLeaveServerNoticeRoom,
  UnableToAuthoriseJoin,
  UnableToGrantJoin,
  DuplicateAnnotation,
  WrongRoomKeysVersion,
  InvalidSignature,
  GuestAccessForbidden,
  ThreepidDenied,
  ThreepidNotFound,
  UserSuspended,
  UnknownPos,  ///< a sliding sync connection that this node does not know
  KeyTooLarge,
  ProfileTooLarge,
  Unknown,
  Unsupported,
  Upstream,  ///< somebody else's server did not answer as it should
};

const std::error_category& messenger_category() noexcept;
inline std::error_code make_error_code(Errc c) noexcept { return {static_cast<int>(c), messenger_category()}; }

}  // namespace haechi::messenger

template <>
struct std::is_error_code_enum<haechi::messenger::Errc> : std::true_type {};

#pragma once
#include "base/result.hpp"

namespace haechi::identity {

/// What can go wrong with accounts; the routes turn each into its Matrix code.
enum class Errc {
  Ok = 0,
  UserInUse,         ///< M_USER_IN_USE
  InvalidUsername,   ///< M_INVALID_USERNAME
  Exclusive,         ///< M_EXCLUSIVE: the name belongs to an application service
  WeakPassword,      ///< M_WEAK_PASSWORD
  WrongCredentials,  ///< M_FORBIDDEN, 403: unknown user and wrong password look the same
  MissingToken,      ///< M_MISSING_TOKEN, 401
  UnknownToken,      ///< M_UNKNOWN_TOKEN, 401; detail `"soft_logout":true|false`
  Deactivated,       ///< M_USER_DEACTIVATED, 403
  Locked,            ///< M_USER_LOCKED, 401; detail `"soft_logout":true`
  Suspended,         ///< M_USER_SUSPENDED, 403
  LimitExceeded,     ///< M_LIMIT_EXCEEDED, 429; detail `"retry_after_ms":N`
  NotFound,          ///< M_NOT_FOUND
  GuestsForbidden,   ///< M_GUEST_ACCESS_FORBIDDEN, 403
  Forbidden,         ///< M_FORBIDDEN, 403
  InvalidParam,      ///< M_INVALID_PARAM, 400
};
const std::error_category& identity_category() noexcept;
inline std::error_code make_error_code(Errc c) noexcept { return {static_cast<int>(c), identity_category()}; }

}  // namespace haechi::identity

template <>
struct std::is_error_code_enum<haechi::identity::Errc> : std::true_type {};

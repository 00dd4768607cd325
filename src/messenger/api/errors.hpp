#pragma once
#include "base/result.hpp"
#include "net/http.hpp"

namespace haechi::messenger {

/// The one place where an Error of any module becomes a Matrix error answer:
/// {"errcode","error", ...detail} with its HTTP status.
net::Response render_matrix_error(const Error& error);

/// The same status as RFC 9457 puts it, for Haechi's own API.
net::Response render_operator_error(const Error& error);

}  // namespace haechi::messenger

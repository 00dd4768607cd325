#pragma once
#include <optional>
#include <string>

#include "base/pool.hpp"
#include "identity/error.hpp"

namespace haechi::identity {

struct PasswordOptions {
  std::size_t memory_mib = 64;
  unsigned passes = 2;
  std::size_t threads = 1;      ///< each hash takes memory_mib while it runs
  std::size_t queue_max = 64;   ///< past it Errc::Overloaded, at once
  std::size_t length_min = 1;   ///< in code points
  std::size_t bytes_max = 512;  ///< argon2id would take any length, the queue should not
};

/// argon2id on threads of its own: 64 MiB and two passes take about 70 ms, far
/// too long for the loop. Loop thread only.
class Passwords {
 public:
  Passwords(Loop& loop, PasswordOptions options);

  /// Errc::WeakPassword when too short, too long or not UTF-8.
  Result<> acceptable(std::string_view password) const;
  /// The text to store: algorithm, cost, salt and hash.
  Task<Result<std::string>> hash(std::string password);

  struct Verdict {
    bool right = false;
    /// The same password at today's cost, when the stored one has another.
    std::optional<std::string> rehashed;
  };
  /// `stored` absent (no such user, no password): takes as long and says no.
  Task<Result<Verdict>> verify(std::string password, std::optional<std::string> stored);

 private:
  PasswordOptions options_;
  std::string dummy_;  ///< matches no password, at today's cost
  BlockingPool pool_;
};

}  // namespace haechi::identity

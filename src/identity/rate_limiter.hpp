#pragma once
#include <list>
#include <string>
#include <string_view>
#include <unordered_map>

#include "base/clock.hpp"
#include "base/result.hpp"
#include "base/text.hpp"
#include "identity/error.hpp"

namespace haechi::identity {

/// `per_second` in the long run, `burst` at once. per_second <= 0: no limit.
struct Rate {
  double per_second = 0;
  double burst = 1;
};

/// Token buckets by key (a user, an address, both), kept as the time at which
/// the bucket will be full again. At most `keys_max` keys: the one that was used
/// longest ago is forgotten, and so starts full. Loop thread only.
class RateLimiter {
 public:
  RateLimiter(const Clock& clock, Rate rate, std::size_t keys_max = 100'000);

  /// Takes `cost` or nothing: Errc::LimitExceeded with detail `"retry_after_ms":N`.
  Result<> take(std::string_view key, double cost = 1);
  /// As take(), but takes nothing: may this go on?
  Result<> check(std::string_view key, double cost = 1) const;
  /// Fills the bucket of `key`.
  void forget(std::string_view key);
  std::size_t keys() const { return by_key_.size(); }

 private:
  struct Bucket {
    std::string key;
    Instant full_at{};
  };
  Result<> room(Instant full_at, Instant now, double cost) const;
  const Clock& clock_;
  Rate rate_;
  std::size_t keys_max_;
  std::list<Bucket> recent_;  ///< front: used last
  std::unordered_map<std::string_view, std::list<Bucket>::iterator, StringHash, std::equal_to<>> by_key_;
};

}  // namespace haechi::identity

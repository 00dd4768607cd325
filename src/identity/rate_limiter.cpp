#include "identity/rate_limiter.hpp"

#include <algorithm>
#include <cmath>

namespace haechi::identity {
namespace {

Duration seconds(double s) { return std::chrono::duration_cast<Duration>(std::chrono::duration<double>(s)); }

}  // namespace

RateLimiter::RateLimiter(const Clock& clock, Rate rate, std::size_t keys_max)
    : clock_(clock), rate_(rate), keys_max_(std::max<std::size_t>(keys_max, 1)) {}

// A bucket that is full at `full_at` lacks (full_at - now) * per_second tokens.
// After taking `cost` it may lack at most `burst`.
Result<> RateLimiter::room(Instant full_at, Instant now, double cost) const {
  const Duration lacking = full_at - now + seconds(cost / rate_.per_second);
  // A cost above the burst could never be paid: a full bucket lets it through.
  const Duration allowed = seconds(std::max(rate_.burst, cost) / rate_.per_second);
  if (lacking <= allowed) return {};
  const auto wait = std::chrono::ceil<std::chrono::milliseconds>(lacking - allowed).count();
  return fail(Errc::LimitExceeded, "Too many requests", "\"retry_after_ms\":" + std::to_string(wait));
}

Result<> RateLimiter::take(std::string_view key, double cost) {
  if (rate_.per_second <= 0) return {};
  const Instant now = clock_.now();
  auto found = by_key_.find(key);
  if (found == by_key_.end()) {
    if (by_key_.size() >= keys_max_) {
      by_key_.erase(recent_.back().key);
      recent_.pop_back();
    }
    recent_.push_front({std::string(key), now});
    found = by_key_.emplace(recent_.front().key, recent_.begin()).first;
  } else {
    recent_.splice(recent_.begin(), recent_, found->second);
  }
  Bucket& bucket = *found->second;
  bucket.full_at = std::max(bucket.full_at, now);
  TRY_DO(room(bucket.full_at, now, cost));
  bucket.full_at += seconds(cost / rate_.per_second);
  return {};
}

Result<> RateLimiter::check(std::string_view key, double cost) const {
  if (rate_.per_second <= 0) return {};
  const auto found = by_key_.find(key);
  if (found == by_key_.end()) return {};
  const Instant now = clock_.now();
  return room(std::max(found->second->full_at, now), now, cost);
}

void RateLimiter::forget(std::string_view key) {
  const auto found = by_key_.find(key);
  if (found == by_key_.end()) return;
  const auto at = found->second;
  by_key_.erase(found);
  recent_.erase(at);
}

}  // namespace haechi::identity

#include "base/random.hpp"

#include <sodium.h>

namespace haechi {

std::uint64_t Random::u64() {
  std::uint8_t b[8];
  fill(b);
  std::uint64_t v = 0;
  for (const auto x : b) v = (v << 8) | x;
  return v;
}

std::uint64_t Random::below(std::uint64_t bound) {
  // Values past the last whole multiple of `bound` would favour small results.
  const std::uint64_t limit = UINT64_MAX - UINT64_MAX % bound;
  while (true) {
    const std::uint64_t v = u64();
    if (v < limit) return v % bound;
  }
}

std::string Random::text(std::size_t length, std::string_view alphabet) {
  std::string out;
  out.reserve(length);
  const std::size_t usable = 256 - 256 % alphabet.size();
  std::uint8_t pool[64];
  while (out.size() < length) {
    fill(pool);
    for (const auto b : pool) {
      if (b < usable && out.size() < length) out += alphabet[b % alphabet.size()];
    }
  }
  return out;
}

void SystemRandom::fill(std::span<std::uint8_t> out) { randombytes_buf(out.data(), out.size()); }

void SeededRandom::fill(std::span<std::uint8_t> out) {
  for (auto& b : out) b = static_cast<std::uint8_t>(engine_());
}

}  // namespace haechi

#include "store/key_filter.hpp"

#include <cstring>

namespace haechi::store {
namespace {

constexpr std::size_t kBitsPerKey = 20;
constexpr std::uint32_t kSalts[] = {0x47b6137bU, 0x44974d91U, 0x8824ad5bU, 0xa2b7289dU,
                                    0x705495c7U, 0x2df1424bU, 0x9efc4947U, 0x5c6bfb31U};

std::uint32_t bit(std::uint64_t key, std::size_t word) {
  return 1U << ((static_cast<std::uint32_t>(key) * kSalts[word]) >> 27);
}

}  // namespace

std::uint64_t mix_key(std::uint64_t x) {
  x ^= x >> 33;
  x *= 0xff51afd7ed558ccdULL;
  x ^= x >> 33;
  x *= 0xc4ceb9fe1a85ec53ULL;
  return x ^ (x >> 33);
}

KeyFilter::KeyFilter(std::size_t keys) : words_((keys * kBitsPerKey / 256 + 1) * kWords) {}

KeyFilter KeyFilter::from_bytes(std::string_view bytes) {
  KeyFilter f;
  f.words_.resize(bytes.size() / (4 * kWords) * kWords);
  if (!f.words_.empty()) std::memcpy(f.words_.data(), bytes.data(), f.words_.size() * 4);
  return f;
}

std::string KeyFilter::bytes() const {
  std::string out(words_.size() * 4, '\0');
  if (!words_.empty()) std::memcpy(out.data(), words_.data(), out.size());
  return out;
}

std::size_t KeyFilter::block_of(std::uint64_t key) const {
  const std::uint64_t blocks = words_.size() / kWords;
  return static_cast<std::size_t>(((key >> 32) * blocks) >> 32) * kWords;
}

void KeyFilter::add(std::uint64_t key) {
  const auto block = block_of(key);
  for (std::size_t i = 0; i < kWords; ++i) words_[block + i] |= bit(key, i);
}

bool KeyFilter::maybe(std::uint64_t key) const {
  if (words_.empty()) return true;
  const auto block = block_of(key);
  std::uint32_t missing = 0;
  for (std::size_t i = 0; i < kWords; ++i) missing |= bit(key, i) & ~words_[block + i];
  return missing == 0;
}

}  // namespace haechi::store

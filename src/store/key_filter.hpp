#pragma once
// "Surely not here": a split-block Bloom filter over 64-bit hashes. One look-up
// touches one cache line; at 20 bits a key about one in 3,000 is a false alarm.

#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

namespace haechi::store {

/// Spreads keys that are not hashes; a bijection. What is stored depends on it.
std::uint64_t mix_key(std::uint64_t key);

/// Keys must be mixed.
class KeyFilter {
 public:
  explicit KeyFilter(std::size_t keys);
  /// What bytes() gave.
  static KeyFilter from_bytes(std::string_view bytes);

  void add(std::uint64_t key);
  /// An empty filter (from no bytes) says yes to everything.
  bool maybe(std::uint64_t key) const;
  std::string bytes() const;

 private:
  static constexpr std::size_t kWords = 8;  ///< 32-bit words in a block
  KeyFilter() = default;
  std::size_t block_of(std::uint64_t key) const;
  std::vector<std::uint32_t> words_;
};

}  // namespace haechi::store

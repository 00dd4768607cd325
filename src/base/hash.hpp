#pragma once
#include <array>
#include <cstdint>
#include <span>
#include <string_view>

namespace haechi {

using Sha256 = std::array<std::uint8_t, 32>;

/// OpenSSL's SHA-256 with a context reused per thread: 0.5 us for an event,
/// where libsodium's (no SHA-NI) takes 2.4 us.
Sha256 sha256(std::string_view data);

/// The first eight bytes as an integer: a key for in-memory and index look-ups
/// that are verified afterwards.
std::uint64_t hash64(std::string_view data);

}  // namespace haechi

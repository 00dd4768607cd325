#pragma once
// What device keys and cross-signing keys have in common: keys of which the
// first is ed25519, and signatures that not everybody may see.

#include <span>
#include <string>
#include <string_view>

#include "base/json.hpp"
#include "messenger/keys/repo.hpp"

namespace haechi::messenger {

inline constexpr std::string_view kEd25519 = "ed25519:";

/// A cross-signing key's own public key: what follows "ed25519:" in its only key id. Empty when malformed.
std::string_view public_key_of(const json::object& cross_signing_key);

/// Keeps the signatures of these two users and drops all others.
void keep_signers(json::object& key, std::string_view owner, std::string_view viewer);
/// Adds a signature that was uploaded later.
void add_signature(json::object& key, const repo::SignatureRow& signature);

/// Whether two keys are the same but for `signatures` and `unsigned`.
bool same_but_signatures(const json::object& a, const json::object& b);

/// Verifies signatures[signer]["ed25519:<id>"] with an unpadded base64 public key. Errc::InvalidSignature.
Result<> verify_key_signature(const json::object& key, std::string_view signer, std::string_view key_id,
                              std::string_view public_key);

}  // namespace haechi::messenger

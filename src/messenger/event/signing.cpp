#include "messenger/event/signing.hpp"

#include <sodium.h>

#include "base/text.hpp"
#include "messenger/event/canonical.hpp"
#include "messenger/event/redact.hpp"

namespace haechi::messenger {
namespace {

struct KeyPair {
  VerifyKey open;
  std::array<std::uint8_t, crypto_sign_SECRETKEYBYTES> secret;
  explicit KeyPair(const SigningSeed& seed) { crypto_sign_seed_keypair(open.data(), secret.data(), seed.data()); }
  KeyPair(const KeyPair&) = delete;
  KeyPair& operator=(const KeyPair&) = delete;
  ~KeyPair() { sodium_memzero(secret.data(), secret.size()); }
};

Result<std::string> signature_over(const json::object& object, const SigningSeed& seed) {
  std::string text;
  TRY_DO(append_canonical_without(text, object, {"signatures", "unsigned"}));
  const KeyPair keys(seed);
  std::array<std::uint8_t, crypto_sign_BYTES> signature;
  crypto_sign_detached(signature.data(), nullptr, reinterpret_cast<const unsigned char*>(text.data()), text.size(),
                       keys.secret.data());
  return base64_encode(signature);
}

json::object& member_object(json::object& parent, std::string_view key) {
  auto& value = parent[key];
  if (!value.is_object()) value.emplace_object();
  return value.get_object();
}

void add_signature(json::object& object, std::string_view entity, std::string_view key_id, std::string_view signature) {
  member_object(member_object(object, "signatures"), entity)[key_id] = signature;
}

}  // namespace

VerifyKey verify_key_of(const SigningSeed& seed) { return KeyPair(seed).open; }

Result<> sign_json(json::object& object, std::string_view entity, std::string_view key_id, const SigningSeed& seed) {
  TRY(const auto signature, signature_over(object, seed));
  add_signature(object, entity, key_id, signature);
  return {};
}

Result<> verify_json(const json::object& object, std::string_view entity, std::string_view key_id,
                     std::span<const std::uint8_t> key) {
  if (key.size() != crypto_sign_PUBLICKEYBYTES) return fail(Errc::Invalid, "not an ed25519 key");
  const auto* all = get_object(object, "signatures");
  const auto* own = all ? get_object(*all, entity) : nullptr;
  const auto text = own ? get_string(*own, key_id) : std::nullopt;
  if (!text) return fail(Errc::Invalid, "the signature is missing");
  const auto signature = base64_decode(*text);
  if (!signature || signature->size() != crypto_sign_BYTES) return fail(Errc::Invalid, "the signature is malformed");
  std::string signed_text;
  TRY_DO(append_canonical_without(signed_text, object, {"signatures", "unsigned"}));
  if (crypto_sign_verify_detached(signature->data(), reinterpret_cast<const unsigned char*>(signed_text.data()),
                                  signed_text.size(), key.data()) != 0) {
    return fail(Errc::Invalid, "the signature does not match");
  }
  return {};
}

Result<> sign_event(json::object& event, const RoomVersion& version, std::string_view server, std::string_view key_id,
                    const SigningSeed& seed) {
  TRY(const auto signature, signature_over(redact(event, version), seed));
  add_signature(event, server, key_id, signature);
  return {};
}

}  // namespace haechi::messenger

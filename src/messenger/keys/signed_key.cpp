#include "messenger/keys/signed_key.hpp"

#include "base/text.hpp"
#include "messenger/errc.hpp"
#include "messenger/event/signing.hpp"

namespace haechi::messenger {
namespace {

json::object& object_at(json::object& parent, std::string_view key) {
  auto& v = parent[key];
  if (!v.is_object()) v.emplace_object();
  return v.get_object();
}

}  // namespace

std::string_view public_key_of(const json::object& key) {
  const auto* keys = get_object(key, "keys");
  if (!keys || keys->size() != 1) return {};
  const std::string_view id = keys->begin()->key();
  if (!id.starts_with(kEd25519) || !keys->begin()->value().is_string()) return {};
  return id.substr(kEd25519.size());
}

void keep_signers(json::object& key, std::string_view owner, std::string_view viewer) {
  auto* v = key.if_contains("signatures");
  if (!v || !v->is_object()) return;
  json::object kept;
  for (auto& [signer, signatures] : v->get_object()) {
    if (signer == owner || signer == viewer) kept.emplace(signer, std::move(signatures));
  }
  *v = std::move(kept);
}

void add_signature(json::object& key, const repo::SignatureRow& s) {
  object_at(object_at(key, "signatures"), s.signer)[s.signing_key_id] = s.signature;
}

bool same_but_signatures(const json::object& a, const json::object& b) {
  const auto bare = [](json::object o) {
    o.erase("signatures");
    o.erase("unsigned");
    return o;
  };
  return bare(a) == bare(b);
}

Result<> verify_key_signature(const json::object& key, std::string_view signer, std::string_view key_id,
                              std::string_view public_key) {
  const auto bytes = base64_decode(public_key);
  if (!bytes) return fail(Errc::InvalidSignature, "The signing key is no base64");
  if (auto verified = verify_json(key, signer, key_id, *bytes); !verified) {
    return fail(Errc::InvalidSignature, "Signature by " + std::string(key_id) + ": " + verified.error().message);
  }
  return {};
}

}  // namespace haechi::messenger

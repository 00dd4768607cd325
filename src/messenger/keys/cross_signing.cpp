#include "messenger/keys/cross_signing.hpp"

#include <algorithm>
#include <array>

#include "base/text.hpp"
#include "messenger/errc.hpp"
#include "messenger/keys/device_keys.hpp"
#include "messenger/keys/repo.hpp"
#include "messenger/keys/signed_key.hpp"
#include "messenger/kinds.hpp"

namespace haechi::messenger {
namespace {

constexpr std::size_t kSignedKeysMax = 500;  // each is verified on the commit thread: 50 us

struct Usage {
  std::string_view member;  ///< in the request
  std::string_view usage;   ///< in the key, and as stored
};
constexpr std::array<Usage, 3> kUsages = {
    {{"master_key", "master"}, {"self_signing_key", "self_signing"}, {"user_signing_key", "user_signing"}}};
constexpr std::string_view kMaster = "master";

using KeySet = std::map<std::string, json::object, std::less<>>;  // by usage

std::string key_id_of(const json::object& key) { return std::string(kEd25519) + std::string(public_key_of(key)); }

Result<json::object> checked_key(const json::value& v, std::string_view usage, std::string_view user) {
  if (!v.is_object()) return fail(Errc::BadJson, "A cross-signing key must be an object");
  auto key = v.get_object();
  if (get_string(key, "user_id") != user) return fail(Errc::InvalidParam, "The user_id of a key is not yours");
  const auto* usages = get_array(key, "usage");
  const bool named = usages && std::ranges::any_of(*usages, [&](const json::value& u) {
                       return u.is_string() && sv(u.get_string()) == usage;
                     });
  if (!named) return fail(Errc::InvalidParam, "The usage of the key must be " + std::string(usage));
  const auto id = public_key_of(key);
  if (id.empty() || get_string(*get_object(key, "keys"), std::string(kEd25519) + std::string(id)) != id) {
    return fail(Errc::InvalidParam, "There must be one ed25519 key, named by itself");
  }
  key.erase("unsigned");
  return key;
}

Result<KeySet> given_keys(const json::object& body, std::string_view user) {
  KeySet out;
  for (const auto& [member, usage] : kUsages) {
    const auto* v = get(body, member);
    if (!v || v->is_null()) continue;
    TRY(auto key, checked_key(*v, usage, user));
    out.emplace(usage, std::move(key));
  }
  return out;
}

KeySet stored_keys(store::Connection& c, std::string_view user) {
  KeySet out;
  for (const auto& row : repo::cross_signing_keys(c, user)) out.emplace(row.usage, must_parse_object(row.json));
  return out;
}

/// Takes out of the store what only made sense with this key.
void retire(journal::Tx& tx, std::string_view user, std::string_view usage, const json::object& key) {
  repo::delete_signatures_on(tx.sql(), user, public_key_of(key));
  repo::delete_own_signatures_by(tx.sql(), user, key_id_of(key));
  repo::delete_cross_signing_key(tx.sql(), user, usage);
}

Result<CrossSigning::Upload> apply_keys(journal::Tx& tx, std::string_view user, KeySet given, Reauthenticated proof) {
  const auto stored = stored_keys(tx.sql(), user);
  std::erase_if(given, [&](const auto& entry) {
    const auto it = stored.find(entry.first);
    return it != stored.end() && same_but_signatures(it->second, entry.second);
  });
  if (given.empty()) return CrossSigning::Upload::Done;

  const auto new_master = given.find(kMaster);
  const auto old_master = stored.find(kMaster);
  if (new_master == given.end() && old_master == stored.end()) {
    return fail(Errc::MissingParam, "No master key is available");
  }
  const auto& master = new_master != given.end() ? new_master->second : old_master->second;
  for (const auto& [usage, key] : given) {
    if (usage != kMaster) TRY_DO(verify_key_signature(key, user, key_id_of(master), public_key_of(master)));
  }
  if (old_master != stored.end() && proof == Reauthenticated::No) return CrossSigning::Upload::NeedsAuth;

  const auto pos = note_device_list(tx, user);
  for (const auto& [usage, key] : stored) {
    // A new master key did not sign the other old ones.
    if (given.contains(usage) || new_master != given.end()) retire(tx, user, usage, key);
  }
  for (const auto& [usage, key] : given) repo::put_cross_signing_key(tx.sql(), user, usage, to_text(key), pos);
  return CrossSigning::Upload::Done;
}

/// Takes the signatures that one user uploads.
class Signer {
 public:
  Signer(journal::Tx& tx, std::string_view user) : tx_(tx), user_(user), own_(stored_keys(tx.sql(), user)) {}

  Result<> take(std::string_view target_user, std::string_view target_key, const json::value& v) {
    if (!v.is_object()) return fail(Errc::BadJson, "A signed key must be an object");
    const auto& signed_key = v.get_object();
    if (target_user != user_) return take_other(target_user, target_key, signed_key);
    if (const auto device = repo::device_keys_of(tx_.sql(), user_, target_key)) {
      return take_device(target_key, must_parse_object(device->keys), signed_key);
    }
    const auto master = own_.find(kMaster);
    if (master == own_.end() || public_key_of(master->second) != target_key) {
      return fail(Errc::NotFound, "There is no such device or key");
    }
    return take_master(target_key, master->second, signed_key);
  }

  bool own_changed() const { return own_changed_; }
  const std::vector<std::string>& others_changed() const { return others_changed_; }

 private:
  static Result<> same(const json::object& given, const json::object& stored) {
    if (!same_but_signatures(given, stored)) return fail(Errc::InvalidParam, "This is not the key that is stored");
    return {};
  }
  bool put(std::string_view target_user, std::string_view target_key, const std::string& key_id,
           const json::object& key) {
    const auto* signatures = get_object(*get_object(key, "signatures"), user_);
    return repo::put_signature(tx_.sql(), target_user,
                               {.target_key = std::string(target_key),
                                .signer = std::string(user_),
                                .signing_key_id = key_id,
                                .signature = std::string(get_string(*signatures, key_id).value_or(""))});
  }

  /// One's own device, by one's self-signing key.
  Result<> take_device(std::string_view device, const json::object& stored, const json::object& given) {
    const auto signing = own_.find("self_signing");
    if (signing == own_.end()) return fail(Errc::NotFound, "You have no self-signing key");
    TRY_DO(same(given, stored));
    TRY_DO(verify_key_signature(given, user_, key_id_of(signing->second), public_key_of(signing->second)));
    own_changed_ |= put(user_, device, key_id_of(signing->second), given);
    return {};
  }

  /// One's own master key, by one's devices.
  Result<> take_master(std::string_view master, const json::object& stored, const json::object& given) {
    TRY_DO(same(given, stored));
    const auto* all = get_object(given, "signatures");
    const auto* own = all ? get_object(*all, user_) : nullptr;
    std::vector<std::string> verified;
    for (const auto& [key_id, signature] : own ? *own : json::object()) {
      const std::string_view id(key_id);
      if (!id.starts_with(kEd25519)) continue;
      const auto device = repo::device_keys_of(tx_.sql(), user_, id.substr(kEd25519.size()));
      if (!device) continue;  // signatures by other keys may stand there as well
      const auto keys = must_parse_object(device->keys);
      const auto public_key = get_string(*get_object(keys, "keys"), id);
      if (!public_key) return fail(Errc::NotFound, "The signing device has no ed25519 key");
      TRY_DO(verify_key_signature(given, user_, id, *public_key));
      verified.emplace_back(id);
    }
    if (verified.empty()) return fail(Errc::InvalidSignature, "No device of yours signed this key");
    for (const auto& id : verified) own_changed_ |= put(user_, master, id, given);
    return {};
  }

  /// Somebody else's master key, by one's user-signing key.
  Result<> take_other(std::string_view target_user, std::string_view target_key, const json::object& given) {
    const auto theirs = stored_keys(tx_.sql(), target_user);
    const auto master = theirs.find(kMaster);
    if (master == theirs.end() || public_key_of(master->second) != target_key) {
      return fail(Errc::NotFound, "This user has no such master key");
    }
    const auto signing = own_.find("user_signing");
    if (signing == own_.end()) return fail(Errc::NotFound, "You have no user-signing key");
    TRY_DO(same(given, master->second));
    TRY_DO(verify_key_signature(given, user_, key_id_of(signing->second), public_key_of(signing->second)));
    if (put(target_user, target_key, key_id_of(signing->second), given)) others_changed_.emplace_back(target_user);
    return {};
  }

  journal::Tx& tx_;
  std::string_view user_;
  KeySet own_;
  bool own_changed_ = false;
  std::vector<std::string> others_changed_;
};

json::object shown(const Error& e) {
  std::string_view code = "M_UNKNOWN";
  if (e.is(Errc::InvalidSignature)) code = "M_INVALID_SIGNATURE";
  else if (e.is(Errc::NotFound)) code = "M_NOT_FOUND";
  else if (e.is(Errc::BadJson)) code = "M_BAD_JSON";
  else if (e.is(Errc::InvalidParam)) code = "M_INVALID_PARAM";
  return {{"errcode", code}, {"error", e.message}};
}

std::string apply_signatures(journal::Tx& tx, const std::string& user, const json::object& body) {
  Signer signer(tx, user);
  json::object failures;
  for (const auto& [target_user, keys] : body) {
    json::object failed;
    for (const auto& [target_key, signed_key] : keys.get_object()) {
      if (auto taken = signer.take(target_user, target_key, signed_key); !taken)
        failed[target_key] = shown(taken.error());
    }
    if (!failed.empty()) failures[target_user] = std::move(failed);
  }
  if (signer.own_changed()) note_device_list(tx, user);
  for (const auto& target : signer.others_changed()) {
    const auto pos = tx.append(kind::kUserSignatures, user, to_text(json::object{{"target", target}}));
    repo::set_user_signature_pos(tx.sql(), user, target, pos);
  }
  return to_text(json::object{{"failures", std::move(failures)}});
}

}  // namespace

Task<Result<CrossSigning::Upload>> CrossSigning::upload_keys(std::string user, json::object body,
                                                             Reauthenticated proof) {
  CO_TRY(auto given, given_keys(body, user));
  co_return co_await journal_.submit([user, given = std::move(given), proof](journal::Tx& tx) -> Result<Upload> {
    return apply_keys(tx, user, given, proof);
  });
}

Task<Result<std::string>> CrossSigning::upload_signatures(std::string user, json::object body) {
  std::size_t count = 0;
  for (const auto& [target, keys] : body) {
    if (!keys.is_object()) co_return fail(Errc::BadJson, "The body must map users to keys");
    count += keys.get_object().size();
  }
  if (count > kSignedKeysMax) co_return fail(Errc::TooLarge, "There are too many signed keys");
  co_return co_await journal_.submit([user, body = std::move(body)](journal::Tx& tx) -> Result<std::string> {
    return apply_signatures(tx, user, body);
  });
}

}  // namespace haechi::messenger

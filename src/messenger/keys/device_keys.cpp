#include "messenger/keys/device_keys.hpp"

#include <algorithm>
#include <map>
#include <set>

#include "base/text.hpp"
#include "identity/error.hpp"
#include "messenger/errc.hpp"
#include "messenger/keys/repo.hpp"
#include "messenger/keys/signed_key.hpp"
#include "messenger/kinds.hpp"

namespace haechi::messenger {
namespace {

constexpr std::int64_t kOneTimeKeysMax = 10'000;  // of one device; clients keep about fifty
constexpr std::string_view kUsualAlgorithm = "signed_curve25519";

/// A one-time or fallback key as uploaded: "algorithm:id" -> a string or an object.
struct UploadedKey {
  std::string algorithm;
  std::string key_id;
  json::value value;
};

Result<std::vector<UploadedKey>> uploaded_keys(const json::object& body, std::string_view member) {
  std::vector<UploadedKey> out;
  const auto* v = get(body, member);
  if (!v || v->is_null()) return out;
  if (!v->is_object()) return fail(Errc::BadJson, std::string(member) + " must be an object");
  for (const auto& [name, value] : v->get_object()) {
    const std::string_view id(name);
    const auto colon = id.find(':');
    if (colon == std::string_view::npos || colon == 0 || colon + 1 == id.size()) {
      return fail(Errc::InvalidParam, "The name of a key must be algorithm:id");
    }
    if (!value.is_string() && !value.is_object()) return fail(Errc::BadJson, "A key must be a string or an object");
    out.push_back({std::string(id.substr(0, colon)), std::string(id.substr(colon + 1)), value});
  }
  return out;
}

Result<std::optional<json::object>> uploaded_device_keys(const json::object& body, std::string_view user,
                                                         std::string_view device) {
  const auto* v = get(body, "device_keys");
  if (!v || v->is_null()) return std::nullopt;
  if (!v->is_object()) return fail(Errc::BadJson, "device_keys must be an object");
  auto keys = v->get_object();
  if (!get_array(keys, "algorithms") || !get_object(keys, "keys") || !get_object(keys, "signatures")) {
    return fail(Errc::BadJson, "device_keys must have algorithms, keys and signatures");
  }
  if (get_string(keys, "user_id") != user) return fail(Errc::InvalidParam, "device_keys.user_id is not yours");
  if (get_string(keys, "device_id") != device) {
    return fail(Errc::InvalidParam, "device_keys.device_id is not that of this session");
  }
  keys.erase("unsigned");
  return keys;
}

json::object counts_object(store::Connection& c, std::string_view user, std::string_view device) {
  json::object counts;
  counts[kUsualAlgorithm] = 0;  // clients rely on seeing it fall to 0
  for (const auto& [algorithm, n] : repo::one_time_key_counts(c, user, device)) counts[algorithm] = n;
  return counts;
}

void note_counts(journal::Tx& tx, std::string_view user, std::string_view device) {
  std::string data = "{\"device\":";
  append_json_string(data, device);
  data += '}';
  tx.append(kind::kOneTimeKeys, user, data);
}

void store_device_keys(journal::Tx& tx, std::string_view user, std::string_view device, const json::object& keys) {
  const auto stored = repo::device_keys_of(tx.sql(), user, device);
  if (stored) {
    const auto before = must_parse_object(stored->keys);
    if (before == keys) return;
    // What was signed was another key.
    if (!same_but_signatures(before, keys)) repo::delete_signatures_on(tx.sql(), user, device);
  }
  const auto pos = note_device_list(tx, user);
  repo::put_device_keys(tx.sql(), user, device, to_text(keys), pos);
}

/// True when a key was new. Errc::InvalidParam when a name is taken by another key.
Result<bool> store_one_time_keys(journal::Tx& tx, std::string_view user, std::string_view device,
                                 const std::vector<UploadedKey>& keys) {
  if (keys.empty()) return false;
  auto& sql = tx.sql();
  auto seq = repo::last_one_time_seq(sql, user, device);
  bool any = false;
  for (const auto& key : keys) {
    const auto text = to_text(key.value);
    if (const auto stored = repo::one_time_key(sql, user, device, key.algorithm, key.key_id)) {
      const auto before = parse_json(*stored);
      if (before && *before == key.value) continue;
      return fail(Errc::InvalidParam, "One time key " + key.algorithm + ':' + key.key_id +
                                          " already exists. Old key: " + *stored + "; new key: " + text);
    }
    repo::add_one_time_key(sql, user, device, key.algorithm, key.key_id, text, ++seq);
    any = true;
  }
  return any;
}

bool store_fallback_keys(journal::Tx& tx, std::string_view user, std::string_view device,
                         const std::vector<UploadedKey>& keys) {
  bool any = false;
  for (const auto& key : keys) {
    const repo::KeyRow row{key.key_id, to_text(key.value)};
    const auto stored = repo::fallback_key(tx.sql(), user, device, key.algorithm);
    // The same one again stays used.
    if (stored && stored->key.key_id == row.key_id && stored->key.json == row.json) continue;
    repo::put_fallback_key(tx.sql(), user, device, key.algorithm, row);
    any = true;
  }
  return any;
}

struct Asked {
  std::string user;
  std::set<std::string, std::less<>> devices;  ///< empty: all
};

Result<std::vector<Asked>> asked_devices(const json::object& body) {
  const auto* v = get(body, "device_keys");
  if (!v) return fail(Errc::MissingParam, "Missing: device_keys");
  if (!v->is_object()) return fail(Errc::BadJson, "device_keys must be an object");
  std::vector<Asked> out;
  for (const auto& [user, devices] : v->get_object()) {
    if (!devices.is_array()) return fail(Errc::BadJson, "device_keys must map users to lists of devices");
    Asked asked{.user = user, .devices = {}};
    for (const auto& d : devices.get_array()) {
      if (!d.is_string()) return fail(Errc::BadJson, "A device id must be a string");
      asked.devices.emplace(sv(d.get_string()));
    }
    out.push_back(std::move(asked));
  }
  return out;
}

/// The four maps of a /keys/query answer.
struct Answer {
  json::object device_keys, master, self_signing, user_signing;

  void add(store::Connection& c, const Asked& asked, std::string_view viewer) {
    std::map<std::string, std::vector<repo::SignatureRow>, std::less<>> signatures;
    for (auto& s : repo::signatures_on(c, asked.user, viewer)) signatures[s.target_key].push_back(std::move(s));
    const auto finish = [&](json::object& key, std::string_view target) {
      keep_signers(key, asked.user, viewer);
      if (const auto it = signatures.find(target); it != signatures.end()) {
        for (const auto& s : it->second) add_signature(key, s);
      }
    };

    auto& devices = device_keys[asked.user].emplace_object();
    for (const auto& row : repo::device_keys(c, asked.user)) {
      if (!asked.devices.empty() && !asked.devices.contains(row.device_id)) continue;
      auto key = must_parse_object(row.keys);
      finish(key, row.device_id);
      if (row.display_name) key["unsigned"] = json::object{{"device_display_name", *row.display_name}};
      devices[row.device_id] = std::move(key);
    }
    for (const auto& row : repo::cross_signing_keys(c, asked.user)) {
      auto key = must_parse_object(row.json);
      finish(key, std::string(public_key_of(key)));
      if (row.usage == "master") master[asked.user] = std::move(key);
      else if (row.usage == "self_signing") self_signing[asked.user] = std::move(key);
      else if (asked.user == viewer) user_signing[asked.user] = std::move(key);
    }
  }

  std::string text() && {
    json::object o;
    o["device_keys"] = std::move(device_keys);
    o["failures"] = json::object();
    o["master_keys"] = std::move(master);
    o["self_signing_keys"] = std::move(self_signing);
    o["user_signing_keys"] = std::move(user_signing);
    return to_text(o);
  }
};

struct ClaimOf {
  std::string user, device, algorithm;
};

Result<std::vector<ClaimOf>> claims_of(const json::object& body) {
  const auto* v = get(body, "one_time_keys");
  if (!v) return fail(Errc::MissingParam, "Missing: one_time_keys");
  if (!v->is_object()) return fail(Errc::BadJson, "one_time_keys must be an object");
  std::vector<ClaimOf> out;
  for (const auto& [user, devices] : v->get_object()) {
    if (!devices.is_object()) return fail(Errc::BadJson, "one_time_keys must map users to devices to algorithms");
    for (const auto& [device, algorithm] : devices.get_object()) {
      if (!algorithm.is_string()) return fail(Errc::BadJson, "An algorithm must be a string");
      out.push_back({user, device, std::string(sv(algorithm.get_string()))});
    }
  }
  return out;
}

std::optional<repo::KeyRow> claim_one(journal::Tx& tx, const ClaimOf& claim) {
  auto& sql = tx.sql();
  if (auto key = repo::oldest_one_time_key(sql, claim.user, claim.device, claim.algorithm)) {
    repo::delete_one_time_key(sql, claim.user, claim.device, claim.algorithm, key->key_id);
    note_counts(tx, claim.user, claim.device);
    return key;
  }
  auto fallback = repo::fallback_key(sql, claim.user, claim.device, claim.algorithm);
  if (!fallback) return std::nullopt;
  if (!fallback->used) {
    repo::mark_fallback_used(sql, claim.user, claim.device, claim.algorithm);
    note_counts(tx, claim.user, claim.device);
  }
  return std::move(fallback->key);
}

}  // namespace

DeviceKeys::DeviceKeys(store::Readers& readers, journal::Journal& journal, Rooms& rooms, Users& users)
    : readers_(readers), journal_(journal), rooms_(rooms), users_(users) {}

Task<Result<std::string>> DeviceKeys::upload(std::string user, std::string device, json::object body) {
  CO_TRY(auto device_keys, uploaded_device_keys(body, user, device));
  CO_TRY(auto one_time, uploaded_keys(body, "one_time_keys"));
  CO_TRY(auto fallback, uploaded_keys(body, "fallback_keys"));
  if (!device_keys && one_time.empty() && fallback.empty()) {
    co_return co_await readers_.read([&](store::Connection& c) -> Result<std::string> {
      return to_text(json::object{{"one_time_key_counts", counts_object(c, user, device)}});
    });
  }
  auto apply = [user, device, device_keys = std::move(device_keys), one_time = std::move(one_time),
                fallback = std::move(fallback)](journal::Tx& tx) -> Result<std::string> {
    // Logged out meanwhile: nobody would ever delete these keys.
    if (!repo::device_exists(tx.sql(), user, device)) {
      return fail(identity::Errc::UnknownToken, "This device was logged out", "\"soft_logout\":false");
    }
    TRY(bool counts_moved, store_one_time_keys(tx, user, device, one_time));
    if (device_keys) store_device_keys(tx, user, device, *device_keys);
    counts_moved |= store_fallback_keys(tx, user, device, fallback);
    if (counts_moved) note_counts(tx, user, device);
    auto counts = counts_object(tx.sql(), user, device);
    for (const auto& [algorithm, n] : counts) {
      if (n.as_int64() > kOneTimeKeysMax) return fail(Errc::TooLarge, "This device has too many one-time keys");
    }
    return to_text(json::object{{"one_time_key_counts", std::move(counts)}});
  };
  co_return co_await journal_.submit(std::move(apply));
}

Task<Result<std::string>> DeviceKeys::query(std::string viewer, json::object body) {
  CO_TRY(const auto asked, asked_devices(body));
  co_return co_await readers_.read([&](store::Connection& c) -> Result<std::string> {
    Answer answer;
    for (const auto& a : asked) answer.add(c, a, viewer);
    return std::move(answer).text();
  });
}

Task<Result<std::string>> DeviceKeys::claim(json::object body) {
  CO_TRY(auto claims, claims_of(body));
  auto apply = [claims = std::move(claims)](journal::Tx& tx) -> Result<std::string> {
    json::object given;
    for (const auto& claim : claims) {
      const auto key = claim_one(tx, claim);
      if (!key) continue;
      auto value = parse_json(key->json);
      if (!value) continue;
      auto& devices = given[claim.user];
      if (!devices.is_object()) devices.emplace_object();
      devices.get_object()[claim.device] = json::object{{claim.algorithm + ':' + key->key_id, *std::move(value)}};
    }
    return to_text(json::object{{"one_time_keys", std::move(given)}, {"failures", json::object()}});
  };
  co_return co_await journal_.submit(std::move(apply), journal::Guard::Bare);
}

Task<Result<KeyCountReader::KeyCounts>> DeviceKeys::key_counts(UserPtr user, std::string device) {
  const auto written = [](const auto& counts, const auto& fallbacks) {
    KeyCounts out{.one_time = "{", .unused_fallback = "["};
    for (const auto& [algorithm, n] : counts) {
      if (out.one_time.size() > 1) out.one_time += ',';
      append_json_string(out.one_time, algorithm);
      out.one_time += ':';
      out.one_time += std::to_string(n);
    }
    for (const auto& algorithm : fallbacks) {
      if (out.unused_fallback.size() > 1) out.unused_fallback += ',';
      append_json_string(out.unused_fallback, algorithm);
    }
    out.one_time += '}';
    out.unused_fallback += ']';
    return out;
  };
  const auto counts = user->one_time_key_counts.find(device);
  const auto fallbacks = user->unused_fallback.find(device);
  if (counts != user->one_time_key_counts.end() && fallbacks != user->unused_fallback.end()) {
    co_return written(counts->second, fallbacks->second);
  }

  struct Loaded {
    TextMap<std::int64_t> counts;
    std::vector<std::string> fallbacks;
  };
  const auto before = counts_changed_;
  CO_TRY(auto loaded, co_await readers_.read([&](store::Connection& c) -> Result<Loaded> {
    Loaded out;
    out.counts.emplace(kUsualAlgorithm, 0);
    for (auto& [algorithm, n] : repo::one_time_key_counts(c, user->id, device)) out.counts[algorithm] = n;
    out.fallbacks = repo::unused_fallback_algorithms(c, user->id, device);
    return out;
  }));
  auto out = written(loaded.counts, loaded.fallbacks);
  // What was read before a change that was followed since must not stay.
  if (counts_changed_ == before) {
    user->one_time_key_counts[device] = std::move(loaded.counts);
    user->unused_fallback[device] = std::move(loaded.fallbacks);
  }
  co_return out;
}

}  // namespace haechi::messenger

#include "app/vault.hpp"

#include <sodium.h>

#include <algorithm>
#include <fstream>
#include <sstream>

#include "base/text.hpp"

namespace haechi::app {
namespace {

// As the node's document has it, so that `haechi audit` and `haechi vault` speak of the same.
constexpr std::string_view kFingerprintOf = "haechi vault key";
constexpr std::size_t kFingerprintBytes = 8;
constexpr std::string_view kPurpose = "haechi vault 1:";  // before the name, in what is authenticated
constexpr std::size_t kNonce = crypto_aead_xchacha20poly1305_ietf_NPUBBYTES;
constexpr std::size_t kTag = crypto_aead_xchacha20poly1305_ietf_ABYTES;
constexpr std::size_t kNameMax = 100;

const unsigned char* bytes_of(std::string_view text) { return reinterpret_cast<const unsigned char*>(text.data()); }

constexpr std::string_view kSchema = R"sql(
-- Secrets that every site needs, encrypted. key_id tells which key opens one. Key: name.
CREATE TABLE vault_secrets (
  name TEXT NOT NULL PRIMARY KEY,
  key_id TEXT NOT NULL,
  sealed BYTEA NOT NULL,
  changed_ms BIGINT NOT NULL
);
)sql";
constexpr store::Migration kSteps[] = {{"vault", 1, "secrets", kSchema}};

constexpr store::Sql kGet{"SELECT key_id, sealed FROM vault_secrets WHERE name = $1"};
constexpr store::Sql kSet{
    "INSERT INTO vault_secrets (name, key_id, sealed, changed_ms) VALUES ($1, $2, $3, $4) ON CONFLICT (name) DO UPDATE "
    "SET key_id = excluded.key_id, sealed = excluded.sealed, changed_ms = excluded.changed_ms"};
constexpr store::Sql kErase{"DELETE FROM vault_secrets WHERE name = $1"};
constexpr store::Sql kList{"SELECT name, key_id, changed_ms FROM vault_secrets ORDER BY name"};

}  // namespace

VaultKey::~VaultKey() { sodium_memzero(bytes_.data(), bytes_.size()); }

Result<VaultKey> VaultKey::create(std::string_view bytes) {
  VaultKey key;
  if (bytes.size() != key.bytes_.size()) return fail(Errc::Invalid, "a vault key has 32 bytes");
  std::ranges::copy(bytes, key.bytes_.begin());
  return key;
}

Result<VaultKey> VaultKey::parse(std::string_view text) {
  const auto bytes = base64_decode(trim(text));
  if (!bytes) return fail(Errc::Invalid, "a vault key is written in base64");
  return create({reinterpret_cast<const char*>(bytes->data()), bytes->size()});
}

VaultKey VaultKey::generate(Random& random) {
  VaultKey key;
  random.fill(key.bytes_);
  return key;
}

std::string VaultKey::base64() const { return base64_encode(bytes_); }

std::string VaultKey::fingerprint() const {
  std::array<std::uint8_t, crypto_generichash_BYTES> mac{};
  crypto_generichash(mac.data(), mac.size(), bytes_of(kFingerprintOf), kFingerprintOf.size(), bytes_.data(),
                     bytes_.size());
  return hex_encode(std::span(mac).first(kFingerprintBytes));
}

std::string VaultKey::seal(std::string_view name, std::string_view secret, Random& random) const {
  const auto about = std::string(kPurpose) + std::string(name);
  std::vector<std::uint8_t> out(kNonce + secret.size() + kTag);
  random.fill(std::span(out).first(kNonce));
  crypto_aead_xchacha20poly1305_ietf_encrypt(out.data() + kNonce, nullptr, bytes_of(secret), secret.size(),
                                             bytes_of(about), about.size(), nullptr, out.data(), bytes_.data());
  return {out.begin(), out.end()};
}

std::optional<std::string> VaultKey::open(std::string_view name, std::string_view sealed) const {
  if (sealed.size() < kNonce + kTag) return std::nullopt;
  const auto about = std::string(kPurpose) + std::string(name);
  std::string out(sealed.size() - kNonce - kTag, '\0');
  const auto* nonce = bytes_of(sealed);
  if (crypto_aead_xchacha20poly1305_ietf_decrypt(reinterpret_cast<unsigned char*>(out.data()), nullptr, nullptr,
                                                 nonce + kNonce, sealed.size() - kNonce, bytes_of(about), about.size(),
                                                 nonce, bytes_.data()) != 0) {
    return std::nullopt;
  }
  return out;
}

Result<std::vector<VaultKey>> vault_keys(const Config& config) {
  if (config.vault.key.empty())
    return fail(Errc::Invalid, "vault.key_file is not set: without its key nothing can be kept in the vault");
  std::vector<VaultKey> keys;
  TRY(auto key, VaultKey::create(config.vault.key));
  keys.push_back(std::move(key));
  const auto next = config.vault.key_file + ".next";
  if (std::ifstream in(next, std::ios::binary); in) {
    std::ostringstream text;
    text << in.rdbuf();
    auto second = VaultKey::parse(text.str());
    if (!second) return std::unexpected(std::move(second.error()).in(next));
    keys.push_back(*std::move(second));
  }
  return keys;
}

namespace vault {

std::span<const store::Migration> migrations() { return kSteps; }

bool is_name(std::string_view name) {
  return !name.empty() && name.size() <= kNameMax && std::ranges::all_of(name, [](char c) {
    return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') || c == '_' || c == '-' ||
           c == '.';
  });
}

Result<std::string> get(store::Connection& c, std::span<const VaultKey> keys, std::string_view name) {
  struct Row {
    std::string key_id;
    std::string sealed;
  };
  const auto row = c.one(kGet, [](const store::Row& r) { return Row{r.str(0), r.str(1)}; }, name);
  if (!row) {
    return fail(Errc::NotFound,
                "the vault has no secret named " + std::string(name) + ": haechi vault set " + std::string(name));
  }
  std::string have;
  for (const auto& key : keys) {
    const auto id = key.fingerprint();
    if (id == row->key_id) {
      if (auto secret = key.open(name, row->sealed)) return *std::move(secret);
      return fail(Errc::Conflict,
                  "the vault's secret " + std::string(name) + " was changed by somebody without its key");
    }
    have += have.empty() ? id : " or " + id;
  }
  return fail(Errc::Conflict, "the vault's secret " + std::string(name) + " needs the key with the fingerprint " +
                                  row->key_id + "; vault.key_file has " + have);
}

void set(store::Connection& c, const VaultKey& key, std::string_view name, std::string_view secret, Random& random,
         WallMs now) {
  c.exec(kSet, name, key.fingerprint(), store::Blob{key.seal(name, secret, random)}, now);
}

bool erase(store::Connection& c, std::string_view name) { return c.exec(kErase, name) > 0; }

std::vector<ListedSecret> list(store::Connection& c) {
  return c.all(kList, [](const store::Row& r) { return ListedSecret{r.str(0), r.str(1), r.i64(2)}; });
}

Result<std::size_t> rotate(store::Connection& c, std::span<const VaultKey> from, const VaultKey& to, Random& random,
                           WallMs now) {
  const auto all = list(c);
  for (const auto& one : all) {
    TRY(auto secret, get(c, from, one.name));
    set(c, to, one.name, secret, random, now);
    sodium_memzero(secret.data(), secret.size());
  }
  return all.size();
}

}  // namespace vault

Result<> resolve_secrets(store::Database& db, Config& config) try {
  struct Wanted {
    std::string_view setting;
    const std::string& name;
    std::string& into;
  };
  const Wanted wanted[] = {
      {"registration.shared_secret", config.registration.shared_secret_name, config.registration.shared_secret},
      {"turn.shared_secret", config.turn.shared_secret_name, config.turn.shared_secret},
      {"blobs.s3_secret_key", config.blobs.s3_secret_key_name, config.blobs.s3_secret_key}};
  if (std::ranges::all_of(wanted, [](const Wanted& w) { return w.name.empty(); })) return {};
  TRY(const auto keys, vault_keys(config));
  const auto c = db.connect(store::Access::ReadOnly);
  for (const auto& w : wanted) {
    if (w.name.empty()) continue;
    auto secret = vault::get(*c, keys, std::string_view(w.name).substr(kVaultPrefix.size()));
    if (!secret) return std::unexpected(std::move(secret.error()).in(w.setting));
    w.into = *std::move(secret);
  }
  return {};
} catch (const store::SqlError& e) {
  return fail(Errc::Io, e.what());
}

}  // namespace haechi::app

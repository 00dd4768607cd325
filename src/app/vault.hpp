#pragma once
// Secrets that every site needs, in the database that every site has, encrypted with a key that
// the operator gives to each site: who reads the database or its backups does not read them.

#include <array>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "app/config.hpp"
#include "base/clock.hpp"
#include "base/random.hpp"
#include "base/result.hpp"
#include "store/store.hpp"

namespace haechi::app {

/// 32 bytes; wiped when it goes.
class VaultKey {
 public:
  /// Errc::Invalid unless it has 32 bytes.
  static Result<VaultKey> create(std::string_view bytes);
  /// As the file holds it: base64 and a line's end.
  static Result<VaultKey> parse(std::string_view text);
  static VaultKey generate(Random& random);
  VaultKey(const VaultKey&) = default;
  VaultKey& operator=(const VaultKey&) = default;
  ~VaultKey();

  /// Tells keys apart without telling them: a keyed hash of a constant, 16 hex digits.
  std::string fingerprint() const;
  /// XChaCha20-Poly1305 under a random nonce; `name` is authenticated with it, so that a secret
  /// cannot be passed off as another.
  std::string seal(std::string_view name, std::string_view secret, Random& random) const;
  /// Nothing when the key or the name is another, or the text was changed.
  std::optional<std::string> open(std::string_view name, std::string_view sealed) const;
  std::string base64() const;

 private:
  VaultKey() = default;
  std::array<std::uint8_t, 32> bytes_{};
};

/// vault.key_file, and vault.key_file.next beside it where there is one: while the key changes
/// each site has both. Errc::Invalid without vault.key_file.
Result<std::vector<VaultKey>> vault_keys(const Config& config);

struct ListedSecret {
  std::string name;
  std::string key;  ///< the fingerprint of the key that opens it
  WallMs changed_ms = 0;
};

/// Statements on an open connection; the caller's transaction. SqlError for what the database refuses.
namespace vault {

std::span<const store::Migration> migrations();
bool is_name(std::string_view name);

/// Errc::NotFound; Errc::Conflict when none of the keys opens it.
Result<std::string> get(store::Connection& c, std::span<const VaultKey> keys, std::string_view name);
void set(store::Connection& c, const VaultKey& key, std::string_view name, std::string_view secret, Random& random,
         WallMs now);
bool erase(store::Connection& c, std::string_view name);
std::vector<ListedSecret> list(store::Connection& c);
/// Seals all with `to`; says how many. Those that it opens already count too, so that a rotation
/// which was broken off can be run again.
Result<std::size_t> rotate(store::Connection& c, std::span<const VaultKey> from, const VaultKey& to, Random& random,
                           WallMs now);

}  // namespace vault

/// Replaces each "vault:NAME" of the settings by what the vault holds. The schema must be there.
Result<> resolve_secrets(store::Database& db, Config& config);

}  // namespace haechi::app

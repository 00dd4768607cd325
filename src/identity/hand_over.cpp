#include "identity/hand_over.hpp"

#include <sodium.h>

#include "base/hash.hpp"
#include "identity/repo.hpp"

namespace haechi::identity {
namespace {

Sha256 row_of(std::string_view name) { return sha256(std::string("row ").append(name)); }
Sha256 key_of(std::string_view name) { return sha256(std::string("key ").append(name)); }

unsigned char* bytes(std::string& s) { return reinterpret_cast<unsigned char*>(s.data()); }
const unsigned char* bytes(std::string_view s) { return reinterpret_cast<const unsigned char*>(s.data()); }

std::string seal(std::string_view name, std::string_view text, std::string nonce) {
  static_assert(sizeof(Sha256) == crypto_secretbox_KEYBYTES);
  const auto key = key_of(name);
  std::string box(crypto_secretbox_MACBYTES + text.size(), '\0');
  crypto_secretbox_easy(bytes(box), bytes(text), text.size(), bytes(nonce), key.data());
  return nonce + box;
}

std::optional<std::string> unseal(std::string_view name, std::string_view sealed) {
  constexpr std::size_t kFrame = crypto_secretbox_NONCEBYTES + crypto_secretbox_MACBYTES;
  if (sealed.size() < kFrame) return std::nullopt;
  const auto key = key_of(name);
  const auto box = sealed.substr(crypto_secretbox_NONCEBYTES);
  std::string text(sealed.size() - kFrame, '\0');
  if (crypto_secretbox_open_easy(bytes(text), bytes(box), box.size(), bytes(sealed), key.data()) != 0) {
    return std::nullopt;
  }
  return text;
}

}  // namespace

Task<Result<>> HandOver::keep(std::string name, std::string text, Duration lifetime) {
  const auto ms = std::chrono::duration_cast<std::chrono::milliseconds>(lifetime).count();
  co_return co_await journal_.submit(
      [row = row_of(name), ms,
       sealed = seal(name, text, random_.text(crypto_secretbox_NONCEBYTES))](journal::Tx& tx) -> Result<> {
        repo::put_hand_over(tx.sql(), row, sealed, tx.wall_ms() + ms, tx.wall_ms());
        return {};
      });
}

Task<Result<std::optional<std::string>>> HandOver::find(std::string name) {
  auto read = co_await readers_.read(
      [row = row_of(name), now = clock_.wall_ms()](store::Connection& c) -> Result<std::optional<std::string>> {
        return repo::hand_over(c, row, now);
      });
  CO_TRY(const auto sealed, std::move(read));
  co_return sealed ? unseal(name, *sealed) : std::nullopt;
}

Task<Result<bool>> HandOver::take(std::string name) {
  co_return co_await journal_.submit([row = row_of(name)](journal::Tx& tx) -> Result<bool> {
    return repo::take_hand_over(tx.sql(), row, tx.wall_ms());
  });
}

}  // namespace haechi::identity

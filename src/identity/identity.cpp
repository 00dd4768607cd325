#include "identity/identity.hpp"

namespace haechi::identity {

namespace {
constexpr auto kNonceLifetime = std::chrono::seconds(60);
}

Identity::Identity(Loop& loop, store::Readers& readers, journal::Journal& journal, Random& random, Options options)
    : passwords_(loop, options.passwords),
      sessions_(loop, readers, journal, random, options.sessions),
      accounts_(loop, readers, journal, random, sessions_, passwords_, std::move(options.accounts)),
      registration_tokens_(loop, readers, journal, random),
      openid_(loop, readers, journal, random),
      nonces_(loop.clock(), random),
      hand_over_(readers, journal, loop.clock(), random),
      uia_(loop, random, accounts_, registration_tokens_, options.uia, &hand_over_) {
  journal.subscribe([this](std::span<const journal::Entry> entries) {
    for (const auto& e : entries) {
      sessions_.follow(e);
      accounts_.follow(e);
    }
  });
}

Identity::~Identity() = default;

void Identity::add_hooks(Hooks hooks) {
  hooks_.push_back(std::move(hooks));
  sessions_.add_hooks(&hooks_.back());
  accounts_.add_hooks(&hooks_.back());
}

Task<Result<std::string>> Identity::issue_nonce() {
  auto nonce = nonces_.issue();
  if (hand_over_.needed()) CO_TRY_DO(co_await hand_over_.keep("nonce " + nonce, {}, kNonceLifetime));
  co_return nonce;
}

Task<Result<bool>> Identity::spend_nonce(std::string nonce) {
  const bool known = nonces_.spend(nonce);
  if (!hand_over_.needed()) co_return known;
  co_return co_await hand_over_.take("nonce " + nonce);
}

Task<void> Identity::stop() { return sessions_.stop(); }

}  // namespace haechi::identity

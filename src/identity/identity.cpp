#include "identity/identity.hpp"

namespace haechi::identity {

namespace {
UiaOptions uia_options(UiaOptions given, const journal::Journal& journal) {
  given.other_nodes = journal.shared();
  return given;
}
}  // namespace

Identity::Identity(Loop& loop, store::Readers& readers, journal::Journal& journal, Random& random, Options options)
    : passwords_(loop, options.passwords),
      sessions_(loop, readers, journal, random, options.sessions),
      accounts_(loop, readers, journal, random, sessions_, passwords_, std::move(options.accounts)),
      registration_tokens_(loop, readers, journal, random),
      openid_(loop, readers, journal, random),
      nonces_(loop.clock(), random),
      uia_(loop, random, accounts_, registration_tokens_, uia_options(options.uia, journal)) {
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

Task<void> Identity::stop() { return sessions_.stop(); }

}  // namespace haechi::identity

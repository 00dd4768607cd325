#pragma once
// A node with accounts: a real database in a folder that goes away, a loop and a
// clock that the test moves, commits on the loop.

#include <doctest/doctest.h>
#include <unistd.h>

#include <filesystem>
#include <stdexcept>

#include "base/log.hpp"
#include "identity/identity.hpp"

namespace haechi::identity::test {

struct TempDir {
  TempDir() {
    std::string pattern = (std::filesystem::temp_directory_path() / "haechi-identity-XXXXXX").string();
    if (!mkdtemp(pattern.data())) throw std::runtime_error("no temporary folder");
    path = pattern;
  }
  ~TempDir() { std::filesystem::remove_all(path); }
  std::filesystem::path path;
};

inline Options quick_options() {
  Options o;
  o.accounts.server_name = "hs";
  o.passwords.memory_mib = 1;
  o.passwords.passes = 1;
  return o;
}

template <class T>
T must(Result<T> r) {
  if (!r) throw std::runtime_error("unexpected error: " + r.error().message);
  if constexpr (!std::is_void_v<T>) return *std::move(r);
}

struct Node {
  explicit Node(const TempDir& dir, Options options = quick_options(), Hooks hooks = {}) {
    log::set_level(log::Level::Warn);
    db = must(store::open_sqlite({.path = (dir.path / "db").string()}));
    std::vector<store::Migration> steps;
    for (const auto& m : journal::Journal::migrations()) steps.push_back(m);
    for (const auto& m : Identity::migrations()) steps.push_back(m);
    must(store::migrate(*db, steps));
    readers = std::make_unique<store::Readers>(loop, *db, 1, 100);
    journal = must(journal::Journal::create(loop, *db, *readers, clock, metrics, {.inline_commits = true}));
    identity = std::make_unique<Identity>(loop, *readers, *journal, random, std::move(options));
    identity->add_hooks(std::move(hooks));
    journal->start();
  }
  ~Node() {
    loop.run(identity->stop());
    loop.run(journal->stop());
  }

  template <class T>
  T run(Task<T> t) {
    return loop.run(std::move(t));
  }
  Accounts& accounts() { return identity->accounts(); }
  Sessions& sessions() { return identity->sessions(); }

  LoggedIn sign_up(std::string name, std::string password = "pass", DeviceRequest device = {}) {
    return *must(run(accounts().register_user(
                     {.localpart = std::move(name), .password = std::move(password), .device = std::move(device)})))
                .login;
  }
  LoggedIn log_in(std::string name, DeviceRequest device = {}, std::string password = "pass") {
    return must(run(accounts().login_password(std::move(name), std::move(password), "1.2.3.4", std::move(device))));
  }
  Result<std::shared_ptr<const Session>> who(const std::string& token) { return run(sessions().authenticate(token)); }

  ManualClock clock;
  ManualLoop loop{clock};
  /// Another one for each node: tokens do not repeat after a restart.
  inline static std::uint64_t seeds = 7;
  SeededRandom random{++seeds};
  Metrics metrics;
  std::unique_ptr<store::Database> db;
  std::unique_ptr<store::Readers> readers;
  std::unique_ptr<journal::Journal> journal;
  std::unique_ptr<Identity> identity;
};

}  // namespace haechi::identity::test

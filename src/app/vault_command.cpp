#include <fcntl.h>
#include <sodium.h>
#include <sys/stat.h>
#include <termios.h>
#include <unistd.h>
#include <CLI/CLI.hpp>

#include <cerrno>
#include <cstdio>
#include <cstring>
#include <fstream>
#include <iostream>
#include <memory>
#include <sstream>

#include "app/commands.hpp"
#include "app/parts.hpp"
#include "app/settings.hpp"
#include "app/vault.hpp"
#include "base/clock.hpp"
#include "base/log.hpp"
#include "base/random.hpp"
#include "base/text.hpp"

namespace haechi::app {
namespace {

constexpr std::size_t kSecretMax = 64 * 1024;

struct VaultFlags {
  Flags where;
  std::string name;
  std::string from;
};

/// A new file that only its owner may read. Errc::Conflict when it is there.
Result<> write_key_file(const std::string& path, const VaultKey& key) {
  const int fd = ::open(path.c_str(), O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, 0600);
  if (fd < 0 && errno == EEXIST) return fail(Errc::Conflict, path + " is there already: it is not overwritten");
  if (fd < 0) return fail(Errc::Io, path + ": " + std::strerror(errno));
  auto text = key.base64() + '\n';
  const bool good = ::write(fd, text.data(), text.size()) == static_cast<ssize_t>(text.size()) && ::fsync(fd) == 0;
  const int code = errno;
  sodium_memzero(text.data(), text.size());
  ::close(fd);
  if (!good) return fail(Errc::Io, path + ": " + std::strerror(code));
  return {};
}

/// From a file, from standard input, or typed without an echo; never from the command line, where
/// others see it.
Result<std::string> read_secret(const std::string& from) {
  std::string text;
  if (!from.empty() && from != "-") {
    std::ifstream in(from, std::ios::binary);
    std::ostringstream out;
    if (!in || !(out << in.rdbuf())) return fail(Errc::Io, "the file " + from + " cannot be read");
    text = std::move(out).str();
  } else if (from.empty() && ::isatty(STDIN_FILENO) != 0) {
    std::fputs("Secret: ", stderr);
    termios shown{};
    ::tcgetattr(STDIN_FILENO, &shown);
    auto hidden = shown;
    hidden.c_lflag &= ~static_cast<tcflag_t>(ECHO);
    ::tcsetattr(STDIN_FILENO, TCSAFLUSH, &hidden);
    std::getline(std::cin, text);
    ::tcsetattr(STDIN_FILENO, TCSAFLUSH, &shown);
    std::fputc('\n', stderr);
  } else {
    text.assign(std::istreambuf_iterator<char>(std::cin), {});
  }
  // An editor's line end is not part of it.
  while (text.ends_with('\n') || text.ends_with('\r')) text.pop_back();
  if (text.empty()) return fail(Errc::Invalid, "the secret is empty");
  if (text.size() > kSecretMax) return fail(Errc::Invalid, "a secret has at most 64 KiB");
  return text;
}

/// What the commands stand on: the settings, the keys, and the database with its schema.
struct Opened {
  Config config;
  std::vector<VaultKey> keys;
  std::unique_ptr<store::Database> db;
};

Result<Opened> open_vault(const Flags& where) {
  TRY(auto config, load_config(where));
  TRY(auto keys, vault_keys(config));
  TRY(auto db, open_schema(config));
  return Opened{std::move(config), std::move(keys), std::move(db)};
}

Result<> in_transaction(store::Database& db, const std::function<Result<>(store::Connection&)>& f) try {
  const auto c = db.connect(store::Access::ReadWrite);
  c->begin();
  auto done = f(*c);
  if (done) c->commit();
  else c->rollback();
  return done;
} catch (const store::ConnectionLost& e) {
  return fail(Errc::Unavailable, std::string("the database was lost; run the command again: ") + e.what());
} catch (const store::SqlError& e) {
  return fail(Errc::Io, e.what());
}

Result<> check_name(const std::string& name) {
  if (vault::is_name(name)) return {};
  return fail(Errc::Invalid, "a secret's name has 1 to 100 of A-Z a-z 0-9 _ - .");
}

Result<> init(const VaultFlags& flags) {
  auto where = flags.where;
  where.from_outside = true;  // the file that it names is not there yet
  TRY(const auto config, load_config(where));
  if (config.vault.key_file.empty())
    return fail(Errc::Invalid, "vault.key_file is not set: it says where the key goes");
  SystemRandom random;
  const auto key = VaultKey::generate(random);
  TRY_DO(write_key_file(config.vault.key_file, key));
  std::printf("%s holds a new key with the fingerprint %s\n", config.vault.key_file.c_str(), key.fingerprint().c_str());
  std::printf("copy it to every site, and keep one copy where no site burns: without it the secrets are lost\n");
  return {};
}

Result<> set(const VaultFlags& flags) {
  TRY_DO(check_name(flags.name));
  TRY(const auto vault, open_vault(flags.where));
  TRY(auto secret, read_secret(flags.from));
  SystemRandom random;
  TRY_DO(in_transaction(*vault.db, [&](store::Connection& c) -> Result<> {
    vault::set(c, vault.keys.back(), flags.name, secret, random, SystemClock().wall_ms());
    return {};
  }));
  sodium_memzero(secret.data(), secret.size());
  std::printf("%s is in the vault; nodes read it when they start\n", flags.name.c_str());
  return {};
}

Result<> list(const VaultFlags& flags) {
  TRY(const auto vault, open_vault(flags.where));
  return in_transaction(*vault.db, [&](store::Connection& c) -> Result<> {
    bool all_open = true;
    for (const auto& one : vault::list(c)) {
      // Tried, so that a wrong key shows here and not at the next start.
      const auto opened = vault::get(c, vault.keys, one.name);
      all_open = all_open && opened;
      std::printf("%s key %s%s\n", one.name.c_str(), one.key.c_str(), opened ? "" : " (not this node's key)");
    }
    if (!all_open) return fail(Errc::Conflict, "vault.key_file does not open all of them");
    return {};
  });
}

Result<> erase(const VaultFlags& flags) {
  TRY_DO(check_name(flags.name));
  TRY(const auto vault, open_vault(flags.where));
  TRY_DO(in_transaction(*vault.db, [&](store::Connection& c) -> Result<> {
    if (vault::erase(c, flags.name)) return {};
    return fail(Errc::NotFound, "the vault has no secret named " + flags.name);
  }));
  std::printf("%s is gone\n", flags.name.c_str());
  return {};
}

Result<> rotate(const VaultFlags& flags) {
  TRY(const auto config, load_config(flags.where));
  TRY(auto keys, vault_keys(config));
  const auto& file = config.vault.key_file;
  const auto next = file + ".next";
  SystemRandom random;
  if (keys.size() == 1) {
    const auto key = VaultKey::generate(random);
    TRY_DO(write_key_file(next, key));
    std::printf("1 of 3: %s holds the next key, fingerprint %s; nothing is encrypted with it yet\n", next.c_str(),
                key.fingerprint().c_str());
    std::printf("2 of 3: copy it beside %s in every site, then run this command again\n", file.c_str());
    return {};
  }
  TRY(const auto db, open_schema(config));
  std::size_t count = 0;
  TRY_DO(in_transaction(*db, [&](store::Connection& c) -> Result<> {
    TRY(count, vault::rotate(c, keys, keys.back(), random, SystemClock().wall_ms()));
    return {};
  }));
  std::printf("%zu secrets are encrypted with the key %s\n", count, keys.back().fingerprint().c_str());
  std::printf("3 of 3: in every site, mv %s %s (until then nodes use both)\n", next.c_str(), file.c_str());
  return {};
}

Result<> fingerprint(const VaultFlags& flags) {
  TRY(const auto config, load_config(flags.where));
  TRY(const auto keys, vault_keys(config));
  std::printf("%s\n", keys.front().fingerprint().c_str());
  if (keys.size() > 1) std::printf("%s next\n", keys.back().fingerprint().c_str());
  return {};
}

}  // namespace

void add_vault(CLI::App& cli, int& code) {
  auto flags = std::make_shared<VaultFlags>();
  auto* vault = cli.add_subcommand("vault", "Secrets that every site needs: in the database, encrypted");
  vault->require_subcommand(1);
  const auto command = [&](const char* name, const char* help, Result<> (*run)(const VaultFlags&)) {
    auto* cmd = vault->add_subcommand(name, help);
    cmd->add_option("--config", flags->where.config, "Settings file (TOML)")->required();
    cmd->add_option("--data", flags->where.data, "Folder for the database and media");
    cmd->callback([flags, run, &code] {
      log::set_level(log::Level::Error);
      if (const auto done = run(*flags); !done) {
        std::fprintf(stderr, "haechi: %s\n", done.error().message.c_str());
        code = 1;
      }
    });
    return cmd;
  };
  command("init", "Make a key and write it to vault.key_file", init);
  auto* setting = command("set", "Keep a secret under a name; settings name it as \"vault:NAME\"", set);
  setting->add_option("name", flags->name, "The secret's name")->required();
  setting->add_option("--from", flags->from, "File that holds the secret; - for standard input");
  setting->footer("Without --from: asks for the secret on a terminal, else reads standard input.");
  command("list", "Print the names, and which key opens each; fails when this key does not open all", list);
  command("delete", "Remove a secret", erase)->add_option("name", flags->name, "The secret's name")->required();
  command("rotate-key", "Change the key, in steps that it tells; nodes need no stop", rotate);
  command("fingerprint", "Print the fingerprint of this site's key", fingerprint);
}

}  // namespace haechi::app

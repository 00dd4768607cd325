#include <termios.h>
#include <unistd.h>
#include <CLI/CLI.hpp>

#include <cstdio>
#include <fstream>
#include <iostream>
#include <memory>

#include "app/commands.hpp"
#include "app/user_office.hpp"
#include "base/clock.hpp"
#include "base/log.hpp"
#include "base/random.hpp"

namespace haechi::app {
namespace {

constexpr std::size_t kGeneratedLength = 20;

struct UserFlags {
  Flags where;
  std::string name;
  std::string password, password_file;
  bool admin = false;
  bool erase = false;
  std::optional<std::int64_t> uses, days;
};

int complain(const Error& error) {
  std::fprintf(stderr, "haechi: %s\n", error.message.c_str());
  return 1;
}

/// Typed without an echo. Nothing at the end of input.
std::optional<std::string> ask(const char* prompt) {
  std::fputs(prompt, stderr);
  termios shown{};
  const bool tty = tcgetattr(STDIN_FILENO, &shown) == 0;
  if (tty) {
    auto hidden = shown;
    hidden.c_lflag &= ~static_cast<tcflag_t>(ECHO);
    tcsetattr(STDIN_FILENO, TCSAFLUSH, &hidden);
  }
  std::string line;
  const bool got = static_cast<bool>(std::getline(std::cin, line));
  if (tty) tcsetattr(STDIN_FILENO, TCSAFLUSH, &shown);
  std::fputc('\n', stderr);
  return got ? std::optional(line) : std::nullopt;
}

struct Password {
  std::string text;
  bool generated = false;
};

/// Given, read, typed, or else made up.
Result<Password> choose_password(const UserFlags& flags) {
  if (!flags.password.empty()) return Password{flags.password};
  if (!flags.password_file.empty()) {
    std::ifstream file;
    if (flags.password_file != "-") file.open(flags.password_file);
    auto& in = flags.password_file == "-" ? std::cin : static_cast<std::istream&>(file);
    std::string line;
    if (!std::getline(in, line)) return fail(Errc::Io, flags.password_file + ": no password can be read there");
    if (line.ends_with('\r')) line.pop_back();
    if (line.empty()) return fail(Errc::Invalid, flags.password_file + ": its first line, the password, is empty");
    return Password{line};
  }
  if (isatty(STDIN_FILENO) != 0) {
    const auto first = ask("Password: ");
    const auto second = first ? ask("Once more: ") : std::nullopt;
    if (!second) return fail(Errc::Invalid, "no password was given");
    if (*first != *second) return fail(Errc::Invalid, "the two passwords differ");
    return Password{*first};
  }
  SystemRandom random;
  return Password{random.text(kGeneratedLength), true};
}

void tell_generated(const Password& password) {
  if (password.generated) std::printf("password: %s\n", password.text.c_str());
}

Result<> add(const UserFlags& flags) {
  TRY(const auto office, open_user_office(flags.where));
  TRY(const auto password, choose_password(flags));
  TRY(const auto user_id, office->add({.name = flags.name, .password = password.text, .admin = flags.admin}));
  std::printf("%s\n", user_id.c_str());
  tell_generated(password);
  return {};
}

Result<> set_password(const UserFlags& flags) {
  TRY(const auto office, open_user_office(flags.where));
  TRY(const auto password, choose_password(flags));
  TRY_DO(office->set_password(flags.name, password.text));
  std::printf("%s has a new password and is logged out everywhere\n", flags.name.c_str());
  tell_generated(password);
  return {};
}

Result<> list(const UserFlags& flags) {
  TRY(const auto office, open_user_office(flags.where));
  return office->list([](const ListedUser& user) {
    std::string line = user.user_id;
    for (const auto& [set, word] :
         {std::pair(user.admin, " admin"), std::pair(user.guest, " guest"), std::pair(user.deactivated, " deactivated"),
          std::pair(user.locked, " locked"), std::pair(user.suspended, " suspended")}) {
      if (set) line += word;
    }
    std::puts(line.c_str());
  });
}

Result<> make_token(const UserFlags& flags) {
  TRY(const auto office, open_user_office(flags.where));
  NewToken wanted{.uses_allowed = flags.uses};
  if (flags.days) wanted.expires_ms = SystemClock().wall_ms() + *flags.days * 86'400'000;
  TRY(const auto token, office->make_token(wanted));
  std::printf("%s\n", token.c_str());
  return {};
}

Result<> deactivate(const UserFlags& flags) {
  TRY(const auto office, open_user_office(flags.where));
  TRY_DO(office->deactivate(flags.name, flags.erase ? EraseProfile::Yes : EraseProfile::No));
  std::printf("%s is deactivated\n", flags.name.c_str());
  return {};
}

}  // namespace

void add_user(CLI::App& cli, int& code) {
  auto flags = std::make_shared<UserFlags>();
  auto* user = cli.add_subcommand("user", "Make, list and change accounts, whether a node runs or not");
  user->require_subcommand(1);

  const auto command = [&](const char* name, const char* help, Result<> (*run)(const UserFlags&)) {
    auto* cmd = user->add_subcommand(name, help);
    cmd->add_option("--config", flags->where.config, "Settings file (TOML); flags go over it");
    cmd->add_option("--data", flags->where.data, "Folder for the database and media");
    cmd->add_option("--server-name", flags->where.server_name, "The name after the colon in user ids");
    cmd->callback([flags, run, &code] {
      // The result is for people; what the modules log on the way is not.
      log::set_level(log::Level::Error);
      const auto done = run(*flags);
      if (!done) code = complain(done.error());
    });
    return cmd;
  };
  const auto takes_name = [&](CLI::App* cmd, const char* help) {
    cmd->add_option("name", flags->name, help)->required();
  };
  const auto takes_password = [&](CLI::App* cmd) {
    auto* given = cmd->add_option("--password", flags->password, "The password; others on this machine may see it");
    cmd->add_option("--password-file", flags->password_file,
                    "File whose first line is the password; - for standard input")
        ->excludes(given);
    cmd->footer("Without a password: asks for one on a terminal, else makes one up and prints it.");
  };

  auto* adding = command("add", "Make an account", add);
  takes_name(adding, "The new user's name, the part before the colon");
  adding->add_flag("--admin", flags->admin, "A server administrator");
  takes_password(adding);

  auto* changing = command("passwd", "Set a user's password and log them out everywhere", set_password);
  takes_name(changing, "A user's name or full id");
  takes_password(changing);

  command("list", "Print every user, one a line", list);

  auto* inviting = command("token", "Make a registration token and print it", make_token);
  inviting->add_option("--uses", flags->uses, "How many accounts it may make; without: any number")
      ->check(CLI::Range(1, 1'000'000));
  inviting->add_option("--days", flags->days, "How long it is good; without: for ever")->check(CLI::Range(1, 36'500));

  auto* ending = command("deactivate", "End an account; its name stays taken", deactivate);
  takes_name(ending, "A user's name or full id");
  ending->add_flag("--erase", flags->erase, "Forget the profile too");
}

}  // namespace haechi::app

#include <CLI/CLI.hpp>

#include <cstdio>
#include <memory>

#include "app/commands.hpp"
#include "app/parts.hpp"
#include "app/settings.hpp"
#include "base/log.hpp"

namespace haechi::app {
namespace {

struct SettingsFlags {
  Flags where;
  std::string name;
  std::string value;
};

struct Opened {
  Config config;  ///< of the file and the flags
  std::unique_ptr<store::Database> db;
  std::unique_ptr<store::Connection> connection;
};

Result<Opened> open_settings(const Flags& where) try {
  TRY(auto config, load_config(where));
  TRY(auto db, open_schema(config));
  auto c = db->connect(store::Access::ReadWrite);
  return Opened{std::move(config), std::move(db), std::move(c)};
} catch (const store::SqlError& e) {
  return fail(Errc::Io, e.what());
}

Result<> must_be_known(const std::string& name) {
  if (std::ranges::find(settings::names(), name) != settings::names().end()) return {};
  return fail(Errc::NotFound, "there is no setting " + name + ": see haechi settings list");
}

Result<> get(const SettingsFlags& flags) {
  TRY_DO(must_be_known(flags.name));
  TRY(auto opened, open_settings(flags.where));
  TRY_DO(apply_stored_settings(*opened.db, opened.config));
  std::printf("%s\n", settings::shown(opened.config, flags.name).c_str());
  return {};
}

Result<> set(const SettingsFlags& flags) {
  // Asked before the store is opened: bad input changes nothing.
  TRY(const auto value, settings::check(flags.name, flags.value));
  TRY(auto opened, open_settings(flags.where));
  auto tried = opened.config;
  for (const auto& one : settings::list(*opened.connection)) {
    if (one.name != flags.name) static_cast<void>(settings::apply(tried, one.name, one.value));
  }
  TRY_DO(settings::apply(tried, flags.name, value));
  TRY_DO(check_settings(tried));
  settings::set(*opened.connection, flags.name, value, SystemClock().wall_ms());
  std::printf("%s = %s; nodes follow when they start anew\n", flags.name.c_str(), value.c_str());
  return {};
}

Result<> unset(const SettingsFlags& flags) {
  TRY_DO(must_be_known(flags.name));
  TRY(auto opened, open_settings(flags.where));
  if (!settings::erase(*opened.connection, flags.name)) {
    return fail(Errc::NotFound, flags.name + " is not set in the database");
  }
  std::printf("%s is the file's again; nodes follow when they start anew\n", flags.name.c_str());
  return {};
}

Result<> list(const SettingsFlags& flags) {
  TRY(auto opened, open_settings(flags.where));
  const auto stored = settings::list(*opened.connection);
  TRY_DO(apply_stored_settings(*opened.db, opened.config));
  for (const auto& name : settings::names()) {
    const bool here = std::ranges::find(stored, name, &StoredSetting::name) != stored.end();
    std::printf("%s = %s%s\n", name.c_str(), settings::shown(opened.config, name).c_str(),
                here ? "  # from the database" : "");
  }
  return {};
}

}  // namespace

void add_settings(CLI::App& cli, int& code) {
  auto flags = std::make_shared<SettingsFlags>();
  auto* top = cli.add_subcommand("settings", "Settings that all nodes share: in the database, over those of the file");
  top->require_subcommand(1);
  const auto command = [&](const char* name, const char* help, Result<> (*run)(const SettingsFlags&)) {
    auto* cmd = top->add_subcommand(name, help);
    cmd->add_option("--config", flags->where.config, "Settings file (TOML)");
    cmd->add_option("--data", flags->where.data, "Folder for the database and media");
    cmd->add_option("--server-name", flags->where.server_name, "The name after the colon in user ids");
    cmd->callback([flags, run, &code] {
      log::set_level(log::Level::Error);
      const auto done = [&]() -> Result<> {
        try {
          return run(*flags);
        } catch (const store::SqlError& e) {
          return fail(Errc::Io, e.what());
        }
      }();
      if (done) return;
      std::fprintf(stderr, "haechi: %s\n", done.error().message.c_str());
      code = 1;
    });
    return cmd;
  };
  const auto named = [&](CLI::App* cmd) {
    cmd->add_option("name", flags->name, "As in the file: registration.mode")->required();
    return cmd;
  };
  named(command("get", "Print a setting as nodes will have it", get));
  named(command("set", "Keep a setting in the database", set))
      ->add_option("value", flags->value, "As in the file; a text needs no quotes")
      ->required();
  named(command("unset", "Take a setting out of the database: the file's holds again", unset));
  command("list", "Print every setting that may be kept in the database, as nodes will have it", list);
}

}  // namespace haechi::app

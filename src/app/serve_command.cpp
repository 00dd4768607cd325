#include <CLI/CLI.hpp>

#include <cstdio>
#include <memory>

#include "app/commands.hpp"
#include "app/config.hpp"
#include "app/node.hpp"
#include "base/log.hpp"

namespace haechi::app {
namespace {

log::Level level_of(std::string_view name) {
  if (name == "debug") return log::Level::Debug;
  if (name == "warn") return log::Level::Warn;
  if (name == "error") return log::Level::Error;
  if (name == "off") return log::Level::Off;
  return log::Level::Info;
}

int serve(const Flags& flags) {
  const auto config = load_config(flags);
  if (!config) {
    std::fprintf(stderr, "haechi: %s\n", config.error().message.c_str());
    return 2;
  }
  log::set_level(level_of(config->log.level));
  auto node = Node::create(*config);
  if (!node) {
    std::fprintf(stderr, "haechi: %s\n", node.error().message.c_str());
    return 1;
  }
  return (*node)->run();
}

}  // namespace

void add_serve(CLI::App& cli, int& code) {
  auto flags = std::make_shared<Flags>();
  auto* cmd = cli.add_subcommand("serve", "Run a node");
  cmd->add_option("--config", flags->config, "Settings file (TOML); flags go over it");
  cmd->add_option("--data", flags->data, "Folder for the database and media");
  cmd->add_option("--listen", flags->listen, "ADDR:PORT");
  cmd->add_option("--server-name", flags->server_name, "The name after the colon in user ids; cannot change later");
  cmd->add_flag("--open-registration", flags->open_registration, "Let anybody register");
  cmd->add_flag("--no-rate-limits", flags->no_rate_limits, "For tests and benchmarks");
  cmd->callback([flags, &code] { code = serve(*flags); });
}

void add_config(CLI::App& cli, int& code) {
  cli.add_subcommand("config", "Print an example settings file with every key and its default")->callback([&code] {
    std::fputs(config_example().c_str(), stdout);
    code = 0;
  });
}

}  // namespace haechi::app

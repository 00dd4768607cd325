// The command line of Haechi. Each subcommand says what it did or, in one line,
// why it could not, and exits with a code that a script can use.

#include <sodium.h>
#include <CLI/CLI.hpp>

#include <cstdio>

#include "app/commands.hpp"
#include "app/config.hpp"
#include "bench/bench.hpp"

int main(int argc, char** argv) {
  using namespace haechi;
  if (sodium_init() < 0) {
    std::fputs("haechi: libsodium cannot be initialised\n", stderr);
    return 1;
  }
  // The load generator has its own options and needs none of the server.
  if (argc > 1 && std::string_view(argv[1]) == "bench") return bench::main(argc - 1, argv + 1);

  CLI::App cli{"Haechi: a messenger and everyday services that survive the loss of a data centre", "haechi"};
  cli.require_subcommand(1);
  cli.set_help_all_flag("--help-all", "Help of every subcommand");
  int code = 0;
  app::add_serve(cli, code);
  app::add_user(cli, code);
  app::add_config(cli, code);
  app::add_vault(cli, code);
  app::add_settings(cli, code);
  app::add_backup(cli, code);
  app::add_sites(cli, code);
  app::add_audit(cli, code);
  app::add_drill(cli, code);
  cli.add_subcommand("version", "Print the version")->callback([] { std::puts("haechi " HAECHI_VERSION); });
  cli.add_subcommand("bench", "Load generator for any Matrix homeserver (see haechi bench --help)");
  CLI11_PARSE(cli, argc, argv);
  return code;
}

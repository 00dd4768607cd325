#include <CLI/CLI.hpp>

#include <memory>

#include "app/commands.hpp"
#include "drill/drill.hpp"
#include "drill/site_init.hpp"

namespace haechi::app {

void add_drill(CLI::App& cli, int& code) {
  auto options = std::make_shared<drill::Options>();
  auto* cmd =
      cli.add_subcommand("drill", "Three sites on this machine: take one away under load and judge every promise");
  cmd->add_option("--runs", options->runs, "How many times")->check(CLI::Range(1, 10'000))->capture_default_str();
  cmd->add_option("--fault", options->wishes.fault, drill::fault_names() + " or random")->capture_default_str();
  cmd->add_option("--site", options->wishes.site, "Who is hit: primary, standby, third or random")
      ->capture_default_str();
  cmd->add_option("--seed", options->seed, "Repeats a drill; without: drawn and printed");
  cmd->add_option("--duration", options->wishes.away_s, "Seconds that the fault lasts; without: drawn, 8 to 24")
      ->check(CLI::Range(0.5, 3600.0));
  cmd->add_flag("--wipe", options->wishes.wipe, "A killed site always returns with empty disks");
  cmd->add_option("--clients", options->clients, "Clients over all sites")
      ->check(CLI::Range(3, 100'000))
      ->capture_default_str();
  cmd->add_option("--rate", options->rate, "Messages a second over all clients; 0: as many as are answered")
      ->check(CLI::Range(0.0, 1e6))
      ->capture_default_str();
  cmd->add_flag("--only-senders", options->only_senders,
                "Clients only send; with --fault none and --rate 0 this measures throughput");
  cmd->add_option("--warm-up", options->warm_up_s, "Seconds of load before the fault")
      ->check(CLI::Range(0.5, 3600.0))
      ->capture_default_str();
  cmd->add_option("--link-delay", options->link_delay_ms, "Milliseconds of round trip between sites")
      ->check(CLI::Range(0.0, 10'000.0))
      ->capture_default_str();
  cmd->add_option("--json", options->json, "File for the figures of every run");
  cmd->add_option("--report", options->report, "HTML file with a time line of every run");
  cmd->add_option("--history", options->history, "Folder for the clients' records, as public checkers read them");
  cmd->add_option("--folder", options->folder, "Where the sites' data stands while it runs; a disk with 6 GiB free");
  cmd->add_flag("--keep", options->keep, "Bring the three sites up, print their addresses and wait for Ctrl-C");
  cmd->add_flag("--keep-logs", options->keep_logs, "Leave that folder when it ends");
  cmd->add_flag("--loopback", options->loopback, "No namespaces, although the machine allows them");
  cmd->add_flag("--database-only", options->database_only, "With --keep: no Haechi nodes");
  cmd->footer("Exit code: 0 every promise was kept, 1 one was broken, 2 it could not be drilled, 130 interrupted.");
  cmd->callback([options, &code] { code = drill::run(*options); });

  // The first process of a site, which the drill starts.
  auto spec = std::make_shared<std::string>();
  auto* site = cli.add_subcommand("drill-site", "")->group("");
  site->add_option("spec", *spec)->required();
  site->callback([spec, &code] { code = drill::run_site(*spec); });
}

}  // namespace haechi::app

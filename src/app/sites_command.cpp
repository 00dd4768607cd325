// `haechi sites`: how the platform stands, and the planned way out of a site and back.
// Needs nothing but the settings file, so that it works from any machine that reaches
// the sites, whichever of them is gone.

#include <CLI/CLI.hpp>

#include <cstdio>
#include <memory>

#include "app/commands.hpp"
#include "app/config.hpp"
#include "app/desk.hpp"
#include "cluster/evacuation.hpp"
#include "cluster/survey.hpp"

namespace haechi::app {
namespace {

struct SitesFlags {
  std::string config;
  std::string site;
  bool json = false;
  bool force = false;
  int drain_s = 60;
  int wait_s = 120;
};

Result<std::unique_ptr<Desk>> open_desk(const std::string& config_file) {
  TRY(auto config, load_config({.config = config_file, .from_outside = true}));
  if (config.sites.empty()) {
    return fail(Errc::Invalid, config_file + ": there are no [[sites]]: this platform stands on one machine");
  }
  return std::make_unique<Desk>(std::move(config));
}

int complain(const Error& error, int code) {
  std::fprintf(stderr, "haechi: %s\n", error.message.c_str());
  return code;
}

int show(const SitesFlags& flags) {
  const auto desk = open_desk(flags.config);
  if (!desk) return complain(desk.error(), 2);
  const auto seen = (*desk)->run(cluster::survey((*desk)->dcs()));
  if (flags.json) std::printf("%s\n", to_text(cluster::to_json(seen)).c_str());
  else std::fputs(cluster::to_table(seen).c_str(), stdout);
  for (const auto& s : seen.sites) {
    if (!s.silent()) return 0;
  }
  std::fputs("haechi: no site answers from here\n", stderr);
  return 1;
}

enum class Way { Out, Back };

int move(const SitesFlags& flags, Way way) {
  const auto desk = open_desk(flags.config);
  if (!desk) return complain(desk.error(), 2);
  auto& d = **desk;
  const cluster::EvacuationOptions options{.force = flags.force,
                                           .drain_max = std::chrono::seconds(flags.drain_s),
                                           .step_max = std::chrono::seconds(flags.wait_s),
                                           .now_ms = d.now_ms()};
  const cluster::Tell tell = [](const std::string& line) {
    std::printf("%s\n", line.c_str());
    std::fflush(stdout);
  };
  const auto done = d.run(way == Way::Out ? cluster::evacuate(d.loop(), d.dcs(), flags.site, options, tell)
                                          : cluster::return_site(d.loop(), d.dcs(), flags.site, options, tell));
  if (!done) return complain(done.error(), 1);
  return 0;
}

}  // namespace

void add_sites(CLI::App& cli, int& code) {
  auto flags = std::make_shared<SitesFlags>();
  auto* sites =
      cli.add_subcommand("sites", "Show how each site stands and whether the platform would survive its loss");
  sites->add_option("--config", flags->config, "The settings file of any node")->required();
  sites->add_flag("--json", flags->json, "For programs");
  sites->require_subcommand(0, 1);
  sites->fallthrough();

  auto* out = sites->add_subcommand("evacuate", "Move everything out of a site while it still stands");
  out->add_option("site", flags->site, "The site's name")->required();
  out->add_flag("--force", flags->force, "Although the platform would not survive without the site");
  out->add_option("--drain-seconds", flags->drain_s, "How long clients may take to leave")
      ->check(CLI::Range(0, 86'400));
  out->add_option("--wait-seconds", flags->wait_s, "How long the database may take")->check(CLI::Range(1, 86'400));
  out->callback([flags, &code] { code = move(*flags, Way::Out); });

  auto* back = sites->add_subcommand("return", "Put an evacuated site back into service once it is whole");
  back->add_option("site", flags->site, "The site's name")->required();
  back->add_option("--wait-seconds", flags->wait_s, "How long it may take to be whole")->check(CLI::Range(1, 86'400));
  back->callback([flags, &code] { code = move(*flags, Way::Back); });

  sites->callback([sites, flags, &code] {
    if (sites->get_subcommands().empty()) code = show(*flags);
  });
}

}  // namespace haechi::app

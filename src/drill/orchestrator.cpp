#include "drill/orchestrator.hpp"

#include <fcntl.h>
#include <fmt/format.h>
#include <spawn.h>
#include <sys/wait.h>
#include <unistd.h>

#include <csignal>
#include <cstdio>
#include <cstring>

#include "drill/interrupt.hpp"

namespace haechi::drill {
namespace {

using namespace std::chrono_literals;

constexpr double kBringUpDeadline = 90;
constexpr double kWholeDeadline = 120;
/// Load goes on so long after all is whole, so that a late stumble is seen.
constexpr double kCalm = 2;
constexpr auto kCommandDeadline = 120s;

double seconds_since(Nanos then) { return static_cast<double>(now_ns() - then) / 1e9; }

}  // namespace

Orchestrator::Orchestrator(const Options& options, Standing standing, DrillFolder folder)
    : options_(options), standing_(std::move(standing)), folder_(std::move(folder)) {
  if (options.keep_logs) folder_.keep();
}

Orchestrator::~Orchestrator() {
  load_.reset();
  sites_.reset();
  network_.reset();
}

Abilities Orchestrator::abilities() const {
  return {.links = standing_.ground == Ground::Namespaces, .volumes = standing_.volumes};
}

std::string Orchestrator::ground_text() const {
  std::string text = standing_.text;
  if (options_.link_delay_ms > 0) text += fmt::format("; {:g} ms round trip between sites", options_.link_delay_ms);
  if (sites_ && sites_->options().limited_volumes) text += "; PostgreSQL on loop devices of limited size";
  return text;
}

void Orchestrator::say(const std::string& text) const {
  fmt::print("{:7.1f} s  {}\n", seconds_since(began_), text);
  std::fflush(stdout);
}

Event Orchestrator::note(Event::Kind kind, std::string text) {
  Event event{.at = now_ns(), .kind = kind, .text = std::move(text)};
  events_.push_back(event);
  say(event.text);
  return event;
}

void Orchestrator::pulse() {
  if (!load_ || now_ns() < next_pulse_) return;
  next_pulse_ = now_ns() + (isatty(STDOUT_FILENO) != 0 ? 1 : 2) * kSecond;
  const auto p = load_->pulse();
  auto text = fmt::format("   {:>6} sends/s, {} acknowledged", p.per_second, p.acknowledged);
  if (p.errors > 0) text += fmt::format(", {} errors", p.errors);
  if (p.silent_s >= 0.5) text += fmt::format(", silent for {:.1f} s", p.silent_s);
  say(text);
}

Result<> Orchestrator::hold(double seconds) {
  for (const Nanos due = now_ns() + static_cast<Nanos>(seconds * 1e9); now_ns() < due;) {
    TRY_DO(pause_for(50ms));
    pulse();
    note_primary();
  }
  return {};
}

void Orchestrator::note_primary() {
  if (now_ns() < next_look_) return;
  next_look_ = now_ns() + 300 * kMillisecond;
  const int primary = ask_roles(*sites_, lost_, 200ms).primary;
  if (primary < 0 || primary == primary_) return;
  if (primary_ >= 0) note(Event::Kind::Note, fmt::format("site {} is the primary now", (*sites_)[primary].name));
  primary_ = primary;
}

// --- bringing up -----------------------------------------------------------------------

Result<> Orchestrator::bring_up() {
  if (standing_.ground == Ground::Namespaces) {
    TRY(network_, Network::create({"10.83.1.1", "10.83.2.1", "10.83.3.1", "10.83.9.1"}));
    TRY_DO(network_->enter(kClients));
    TRY_DO(reset_links());
  }
  const bool volumes =
      standing_.volumes && (options_.wishes.fault == "disk" || options_.wishes.fault == "random") && !options_.keep;
  TRY(sites_, Sites::create({.ground = standing_.ground,
                             .folder = folder_.path(),
                             .users = standing_.users,
                             .limited_volumes = volumes,
                             .nodes = !options_.database_only},
                            network_.get()));
  say(fmt::format("three sites, each with etcd, PostgreSQL under Patroni and {} start; {}",
                  options_.database_only ? "no Haechi node" : "two Haechi nodes", ground_text()));
  for (int i = 0; i < kSites; ++i) TRY_DO(sites_->start(i));
  const Nanos began = now_ns();
  TRY_DO(wait_until_whole(nodes(), kBringUpDeadline));
  say(fmt::format("all is whole after {:.1f} s", seconds_since(began)));
  return {};
}

Result<> Orchestrator::wait_until_whole(Nodes nodes, double deadline_s) {
  std::string last;
  Nanos told = now_ns();
  Health health;
  for (const Nanos due = now_ns() + static_cast<Nanos>(deadline_s * 1e9); now_ns() < due;) {
    health = ask_health(*sites_, nodes);
    if (health.whole()) return {};
    if (const auto text = health.lacking(); text != last && now_ns() - told > kSecond) {
      say("   not yet there: " + text);
      last = text;
      told = now_ns();
    }
    pulse();
    note_primary();
    TRY_DO(pause_for(100ms));
  }
  explain(health);
  return fail(Errc::Timeout, fmt::format("after {:.0f} s there is still not there: {}", deadline_s, health.lacking()));
}

void Orchestrator::explain(const Health& health) const {
  const auto show = [](const std::string& path) {
    fmt::print(stderr, "The last lines of {}:\n{}", path, tail(path, 12));
  };
  std::vector<std::string> shown;
  const auto once = [&](const std::string& path) {
    if (std::ranges::find(shown, path) != shown.end()) return;
    shown.push_back(path);
    show(path);
  };
  for (const int site : health.etcds) once((*sites_)[site].log("etcd"));
  if (!health.primary || health.standbys_missing > 0 || !health.synchronous) {
    for (const auto& site : *sites_) once(site.log("patroni"));
  }
  for (const auto& [site, number] : health.nodes) once((*sites_)[site].log(fmt::format("node{}", number + 1)));
  for (const auto& site : *sites_) once(site.log("init"));
}

void Orchestrator::stay() {
  fmt::print("\n");
  for (const auto& site : *sites_) {
    fmt::print("  site {}   nodes {} {}\n           PostgreSQL {}:5432   Patroni {}   etcd {}\n", site.name,
               site.nodes()[0], site.nodes()[1], site.address, site.patroni(), site.etcd());
  }
  fmt::print("\n  Configuration and logs are in {}.\n", folder_.path());
  if (network_) {
    fmt::print(
        "  The addresses are reached from the clients' network:  nsenter --net=/proc/{}/ns/net curl {}/health/ready\n",
        getpid(), (*sites_)[0].nodes()[0]);
  }
  fmt::print("  Ctrl-C ends it.\n\n");
  std::fflush(stdout);
  while (pause_for(1s)) {
    for (auto& site : *sites_) {
      if (site.process.running() && process_state(site.process.first()) == 'Z') {
        say(fmt::format("site {} is gone", site.name));
        (void)site.process.kill();
      }
    }
  }
}

Result<> Orchestrator::prepare_load() {
  load_ = make_load(sites_->place(), {.clients = options_.clients,
                                      .rate = options_.rate,
                                      .seed = options_.seed,
                                      .history_dir = options_.history,
                                      .only_senders = options_.only_senders});
  say("the clients make their accounts and rooms");
  return load_->prepare();
}

// --- one run ---------------------------------------------------------------------------

Result<Roles> Orchestrator::wait_for_roles() {
  for (int attempt = 0; attempt < 100; ++attempt) {
    if (const auto roles = ask_roles(*sites_); roles.complete()) return roles;
    TRY_DO(pause_for(200ms));
  }
  return fail(Errc::Timeout, "Patroni names no primary, standby and third");
}

Result<RunRecord> Orchestrator::run(int number, const Strike& strike) {
  events_.clear();
  broken_.clear();
  lost_.clear();
  primary_ = -1;
  TRY(auto roles, wait_for_roles());
  int hit = roles.of(strike.role);
  RunRecord record{.plan = {.number = number,
                            .fault = std::string(name_of(strike.fault)),
                            .detail = strike.detail(),
                            .site = (*sites_)[hit].name,
                            .role = strike.role,
                            .seed = strike.seed}};
  say(fmt::format("run {}: {} the {}'s site, {} ({}); seed {}", number, record.plan.fault, strike.role,
                  record.plan.site, record.plan.detail, strike.seed));
  TRY_DO(load_->begin(record.plan));
  TRY_DO(hold(options_.warm_up_s));
  // Load may have moved a role meanwhile.
  TRY(roles, wait_for_roles());
  hit = roles.of(strike.role);
  record.plan.site = (*sites_)[hit].name;

  TRY_DO(begin(strike, hit));
  TRY_DO(hold(strike.away_s));
  if (strike.fault == Fault::Double) TRY_DO(lose_second(strike, hit));
  TRY_DO(end(strike, hit));

  const Nanos ended = now_ns();
  if (const auto whole = wait_until_whole(nodes(), kWholeDeadline); whole) {
    record.whole_again_s = seconds_since(ended);
    note(Event::Kind::Whole, fmt::format("all is whole again after {:.1f} s", *record.whole_again_s));
    TRY_DO(hold(kCalm));
  } else {
    if (whole.error().is(Errc::Cancelled)) return std::unexpected(whole.error());
    broken_.push_back("the site did not become whole again: " + whole.error().message);
    say(broken_.back());
  }
  say("the clients stop; everything acknowledged is read back and judged");
  TRY(record.figures, load_->end());
  record.events = std::move(events_);
  record.broken = std::move(broken_);
  const auto& f = record.figures;
  say(fmt::format(
      "run {}: {} acknowledged, {} lost, {} twice, {} out of order, {} unreadable, {} errors; {:.2f} s without "
      "writes, lost site's clients back after {:.2f} s",
      number, f.acknowledged, f.lost, f.twice, f.out_of_order, f.unreadable, f.client_errors, f.write_outage_s,
      f.clients_moved_s));
  for (const auto& line : f.broken) say("   broken: " + line);
  return record;
}

// --- faults ----------------------------------------------------------------------------

Result<> Orchestrator::reset_links() {
  if (!network_) return {};
  const Wire::State far{.delay = static_cast<Nanos>(options_.link_delay_ms * 1e6 / 2)};
  for (int from = 0; from < network_->size(); ++from) {
    for (int to = 0; to < network_->size(); ++to) {
      if (from != to) TRY_DO(network_->set(from, to, from == kClients || to == kClients ? Wire::State{} : far));
    }
  }
  return {};
}

Result<> Orchestrator::set_links(int site, const Wire::State& state, CutFrom whom) {
  if (!network_) return {};
  for (int other = 0; other < network_->size(); ++other) {
    if (other == site || (other == kClients && whom == CutFrom::OtherSites)) continue;
    TRY_DO(network_->set(site, other, state));
    TRY_DO(network_->set(other, site, state));
  }
  return {};
}

Result<> Orchestrator::begin(const Strike& strike, int hit) {
  const auto& name = (*sites_)[hit].name;
  const auto told = [&](std::string text, std::vector<int> lost) {
    lost_ = std::move(lost);
    load_->fault_begins(note(Event::Kind::FaultBegins, std::move(text)), lost_);
  };
  switch (strike.fault) {
    case Fault::None: told("nothing happens", {}); break;
    case Fault::Kill:
    case Fault::Double:
      told(fmt::format("site {}, the {}, burns: everything in it is killed", name, strike.role), {hit});
      return sites_->kill(hit);
    case Fault::Freeze:
      told(fmt::format("site {}, the {}, freezes: everything in it is stopped", name, strike.role), {hit});
      return sites_->freeze(hit);
    case Fault::Cut:
      told(fmt::format("site {}, the {}, is cut off from {}", name, strike.role,
                       strike.cut_from == CutFrom::Everybody ? "everybody" : "the other sites"),
           {hit});
      return set_links(hit, {.cut = true}, strike.cut_from);
    case Fault::Slow:
      told(fmt::format("the links of site {}, the {}, become slow", name, strike.role), {});
      return set_links(hit, strike.slow, CutFrom::Everybody);
    case Fault::Disk:
      told(fmt::format("PostgreSQL's disk in site {}, the {}, is full", name, strike.role), {});
      return sites_->fill_volume(hit);
    case Fault::Evacuate:
      told(fmt::format("site {}, the {}, is evacuated", name, strike.role), {});
      if (const auto done = sites_command("evacuate", hit); !done) {
        if (done.error().is(Errc::Cancelled)) return done;
        broken_.push_back(done.error().message);
      }
      break;
  }
  return {};
}

Result<> Orchestrator::bring_back(int site, bool wiped) {
  if (wiped) {
    TRY_DO(sites_->wipe(site));
    TRY_DO(replace_etcd_member(*sites_, site));
    sites_->set_etcd_state(site, "existing");
  }
  return sites_->start(site);
}

Result<> Orchestrator::lose_second(const Strike& strike, int first) {
  note(Event::Kind::Note, fmt::format("site {} begins to return", (*sites_)[first].name));
  TRY_DO(bring_back(first, false));
  TRY_DO(hold(strike.second_after_s));
  const auto roles = ask_roles(*sites_);
  const int others[] = {(first + 1) % kSites, (first + 2) % kSites};
  const int primary = roles.primary >= 0 && roles.primary != first ? roles.primary : others[0];
  second_ = strike.second_role == "primary" ? primary : others[0] + others[1] - primary;
  lost_.push_back(second_);
  load_->fault_begins(note(Event::Kind::FaultBegins,
                           fmt::format("site {}, the {}, burns too", (*sites_)[second_].name, strike.second_role)),
                      lost_);
  TRY_DO(sites_->kill(second_));
  return hold(strike.away_s);
}

Result<> Orchestrator::end(const Strike& strike, int hit) {
  const auto& name = (*sites_)[hit].name;
  const auto told = [&](std::string text) { load_->fault_ends(note(Event::Kind::FaultEnds, std::move(text))); };
  switch (strike.fault) {
    case Fault::None: told("nothing happened"); break;
    case Fault::Kill:
      told(fmt::format("site {} is switched on again{}", name, strike.wipe ? ", with empty disks" : ""));
      return bring_back(hit, strike.wipe);
    case Fault::Freeze:
      told(fmt::format("site {} thaws", name));
      sites_->thaw(hit);
      break;
    case Fault::Cut: told(fmt::format("site {} is connected again", name)); return reset_links();
    case Fault::Slow: told(fmt::format("the links of site {} are as before", name)); return reset_links();
    case Fault::Disk: told(fmt::format("there is space again in site {}", name)); return sites_->free_volume(hit);
    case Fault::Evacuate:
      if (const auto done = sites_command("return", hit); !done) {
        if (done.error().is(Errc::Cancelled)) return done;
        broken_.push_back(done.error().message);
      }
      told(fmt::format("site {} has returned", name));
      break;
    case Fault::Double:
      told(fmt::format("site {} is switched on again", (*sites_)[second_].name));
      return bring_back(second_, false);
  }
  return {};
}

Result<> Orchestrator::sites_command(const char* verb, int site) {
  // As an operator would, who sits in another building.
  const int from = (site + 1) % kSites;
  const std::string config = sites_->config_of(from);
  const std::string log = folder_.path() + "/sites.log";
  std::string name = (*sites_)[site].name;
  std::string program = sites_->program();
  std::string word = verb;
  std::string option = "--config";
  std::string sub = "sites";
  std::string path = config;
  char* const argv[] = {program.data(), sub.data(), word.data(), name.data(), option.data(), path.data(), nullptr};
  posix_spawn_file_actions_t files;
  posix_spawn_file_actions_init(&files);
  posix_spawn_file_actions_addopen(&files, 0, "/dev/null", O_RDONLY, 0);
  posix_spawn_file_actions_addopen(&files, 1, log.c_str(), O_WRONLY | O_CREAT | O_TRUNC, 0644);
  posix_spawn_file_actions_adddup2(&files, 1, 2);
  posix_spawnattr_t attributes;
  posix_spawnattr_init(&attributes);
  posix_spawnattr_setflags(&attributes, POSIX_SPAWN_SETSID);
  pid_t pid = -1;
  const int code = posix_spawn(&pid, program.c_str(), &files, &attributes, argv, environ);
  posix_spawn_file_actions_destroy(&files);
  posix_spawnattr_destroy(&attributes);
  if (code != 0) return fail(Errc::Io, program + ": " + std::strerror(code));
  const Nanos began = now_ns();
  for (const Nanos due = began + std::chrono::nanoseconds(kCommandDeadline).count(); now_ns() < due;) {
    if (const auto status = wait_for(pid, 50ms)) {
      if (WIFEXITED(*status) && WEXITSTATUS(*status) == 0) {
        note(Event::Kind::Note,
             fmt::format("haechi sites {} {} is done after {:.1f} s", verb, name, seconds_since(began)));
        return {};
      }
      return fail(Errc::Io, fmt::format("haechi sites {} {} failed:\n{}", verb, name, tail(log, 5)));
    }
    pulse();
    note_primary();
    if (interrupted()) break;
  }
  ::kill(pid, SIGKILL);
  (void)wait_for(pid, 5s);
  if (interrupted()) return fail(Errc::Cancelled, "interrupted");
  return fail(Errc::Timeout, fmt::format("haechi sites {} {} does not end:\n{}", verb, name, tail(log, 5)));
}

}  // namespace haechi::drill

#include "bench/bench.hpp"

#include <fmt/format.h>
#include <sys/resource.h>
#include <unistd.h>

#include <CLI/CLI.hpp>
#include <fstream>
#include <random>
#include <stdexcept>

#include "bench/options.hpp"
#include "bench/report.hpp"
#include "bench/workloads.hpp"

namespace haechi::bench {
namespace {

struct Entry {
  const char* name;
  void (*run)(Context&, WorkloadResult&);
};
// idle comes first: what others leave in the server's memory is not the herd's.
constexpr Entry kWorkloads[]{
    {"idle", run_idle},      {"send", run_send},     {"chat", run_chat},
    {"group100", run_group}, {"open3000", run_open}, {"initial-sync", run_initial_sync},
    {"media", run_media},
};

void add_options(CLI::App& app, Options& o) {
  std::vector<std::string> names{"all", "ceilings"};
  for (const auto& w : kWorkloads) names.emplace_back(w.name);
  app.add_option("workloads,-w,--workload", o.workloads,
                 "what to run; ceilings are the machine's limits without a server")
      ->check(CLI::IsMember(names))
      ->required();
  app.add_option("--server", o.server, "the homeserver's address")->capture_default_str();
  app.add_option("--server-pid", o.server_pids,
                 "process id of the server, for CPU and memory figures (may be repeated)");
  app.add_option("--duration", o.duration_s, "measured seconds per phase")
      ->capture_default_str()
      ->check(CLI::PositiveNumber);
  app.add_option("--warmup", o.warmup_s, "seconds before the measured ones")
      ->capture_default_str()
      ->check(CLI::NonNegativeNumber);
  app.add_option("--seed", o.seed, "of everything random")->capture_default_str();
  app.add_flag("--quick", o.quick, "small and short: shows that it works, measures little");

  auto* accounts = "Accounts";
  app.add_option("--user", o.user, "log in as this user")->group(accounts);
  app.add_option("--password", o.password, "of --user")->group(accounts);
  app.add_option("--users-file", o.users_file, "lines of 'user password' to log in with")->group(accounts);
  app.add_option("--registration-shared-secret", o.shared_secret, "register by shared secret, not openly")
      ->group(accounts);
  app.add_option("--tokens-file", o.tokens_file, "keeps access tokens, so that the next run needs no registration")
      ->group(accounts);
  app.add_option("--setup-connections", o.setup_connections, "parallel requests while preparing")
      ->group(accounts)
      ->capture_default_str()
      ->check(CLI::Range(1, 1000));

  auto* shape = "Workload shapes";
  const auto positive = [&](const char* flag, std::size_t& value, const char* what) {
    app.add_option(flag, value, what)
        ->group(shape)
        ->capture_default_str()
        ->check(CLI::Range(std::size_t{1}, std::size_t{1'000'000}));
  };
  positive("--senders", o.senders, "send: senders; chat: pairs of the closed loop");
  positive("--rooms", o.rooms, "send: rooms");
  positive("--pairs", o.pairs, "chat: pairs of the open loop");
  app.add_option("--rate", o.rate, "chat: messages/s of the open loop; 0 leaves it out")
      ->group(shape)
      ->capture_default_str();
  app.add_option("--chat-next", o.chat_next, "chat: closed loop sends the next message after this")
      ->transform(CLI::CheckedTransformer(
          std::map<std::string, ChatNext>{{"ack", ChatNext::Ack}, {"delivery", ChatNext::Delivery}}))
      ->group(shape);
  positive("--group-rooms", o.group_rooms, "group100: rooms");
  positive("--group-members", o.group_members, "group100: members of each room");
  app.add_option("--group-rate", o.group_rate, "group100: messages/s and room")
      ->group(shape)
      ->capture_default_str()
      ->check(CLI::PositiveNumber);
  positive("--open-members", o.open_members, "open3000: members");
  app.add_option("--open-rate", o.open_rate, "open3000: messages/s")
      ->group(shape)
      ->capture_default_str()
      ->check(CLI::PositiveNumber);
  positive("--sync-rooms", o.sync_rooms, "initial-sync: rooms of each account");
  positive("--sync-accounts", o.sync_accounts, "initial-sync: accounts");
  positive("--sync-messages", o.sync_messages, "initial-sync: messages in each room");
  positive("--clients", o.clients, "idle: long polls");
  positive("--idle-wakes", o.idle_wakes, "idle: messages that wake one reader each");
  app.add_option("--idle-seconds", o.idle_s, "idle: how long nothing happens")->group(shape)->capture_default_str();
  positive("--media-parallel", o.media_parallel, "media: connections");
  app.add_option("--media-reference", o.media_reference,
                 "media: another HTTP server with /100kB.bin, /5MB.bin and PUT /upload/NAME")
      ->group(shape);
  app.add_flag("--media-legacy", o.media_legacy, "media: download from the old, unauthenticated path")->group(shape);

  auto* output = "Output";
  app.add_option("--data-dir", o.data_dir, "where the disk ceilings write")
      ->group(output)
      ->capture_default_str()
      ->check(CLI::ExistingDirectory);
  app.add_option("--json", o.json_file, "writes everything as JSON; - is standard output")->group(output);
  app.add_option("--write-report", o.report_file, "writes a Markdown page")->group(output);
  app.add_option("--commit", o.commit, "commit of the server, for the report")->group(output);
}

/// Before the command line is read: what is given there counts more.
void apply_quick(Options& o) {
  o.duration_s = 1;
  o.warmup_s = 0.2;
  o.senders = 8;
  o.rooms = 10;
  o.pairs = 20;
  o.rate = 200;
  o.group_rooms = 2;
  o.group_members = 10;
  o.group_rate = 5;
  o.open_members = 50;
  o.open_rate = 5;
  o.sync_rooms = 10;
  o.sync_accounts = 2;
  o.sync_messages = 3;
  o.clients = 150;
  o.idle_wakes = 20;
  o.idle_s = 0.5;
  o.media_parallel = 4;
}

/// The targets speak of the default shapes; shorter or longer runs are their business.
bool has_target_shapes(const Options& o) {
  const Options d;
  return o.senders == d.senders && o.rooms == d.rooms && o.rate >= d.rate && o.open_members >= d.open_members &&
         o.sync_rooms >= d.sync_rooms && o.sync_messages >= d.sync_messages && !o.quick;
}

void note_parameters(WorkloadResult& result, const Options& o) {
  result.parameters = {{"duration_s", fmt::format("{}", o.duration_s)},
                       {"warmup_s", fmt::format("{}", o.warmup_s)},
                       {"seed", std::to_string(o.seed)},
                       {"body_bytes", "141"}};
}

void write_file(const std::string& path, const std::string& text) {
  std::ofstream out(path, std::ios::trunc);
  out << text;
  out.flush();
  if (!out) throw std::runtime_error(path + ": cannot be written");
}

void raise_file_limit() {
  rlimit limit{};
  if (::getrlimit(RLIMIT_NOFILE, &limit) == 0 && limit.rlim_cur < limit.rlim_max) {
    limit.rlim_cur = limit.rlim_max;
    ::setrlimit(RLIMIT_NOFILE, &limit);
  }
}

bool run_workloads(const Options& options, Results& results, Progress& progress) {
  bool good = true;
  if (options.wants("ceilings")) {
    progress.keep("ceilings");
    results.workloads.push_back(run_ceilings(options, progress));
  }
  // Names of accounts and messages must not meet those of an earlier run.
  const auto run = fmt::format("{:08x}", std::random_device()());
  for (const auto& [name, function] : kWorkloads) {
    if (!options.wants(name)) continue;
    progress.keep(name);
    // Each workload has its own engine: nothing of the one before it stays open.
    Engine engine;
    static std::vector<User> pool;
    static std::uint32_t names = 0;
    static std::uint32_t sequence = 0;
    Context context{options, engine, Endpoint::parse(options.server), progress, run, pool, sequence, names};
    WorkloadResult result;
    result.name = name;
    try {
      function(context, result);
      if (engine.reconnects) result.note(fmt::format("{} connections broke and were opened again", engine.reconnects));
    } catch (const std::exception& e) {
      result.error = e.what();
      progress.keep(fmt::format("{}: {}", name, e.what()));
      good = false;
    }
    pool = std::move(context.pool);
    names = context.names;
    sequence = context.sequence;
    note_parameters(result, options);
    results.workloads.push_back(std::move(result));
  }
  return good;
}

}  // namespace

int main(int argc, char** argv) {
  Options options;
  for (int i = 1; i < argc; ++i) {
    if (std::string_view(argv[i]) == "--quick") apply_quick(options);
  }
  CLI::App app("Measures a Matrix homeserver over HTTP as its clients see it.", "haechi bench");
  app.set_help_flag("-h,--help");
  add_options(app, options);
  CLI11_PARSE(app, argc, argv);
  try {
    raise_file_limit();
    Results results;
    results.machine = this_machine();
    results.server = options.server;
    results.commit = options.commit;
    results.quick = options.quick;
    results.judged = has_target_shapes(options);
    Progress progress;
    const bool good = run_workloads(options, results, progress);
    progress.clear();
    if (options.json_file == "-") {
      fmt::print("{}", render_json(results));
    } else {
      fmt::print("{}", render_table(results));
      if (!options.json_file.empty()) write_file(options.json_file, render_json(results));
    }
    if (!options.report_file.empty()) write_file(options.report_file, render_markdown(results));
    return good ? 0 : 1;
  } catch (const std::exception& e) {
    fmt::print(stderr, "haechi bench: {}\n", e.what());
    return 1;
  }
}

}  // namespace haechi::bench

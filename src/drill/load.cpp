#include <fmt/format.h>

#include <algorithm>
#include <atomic>
#include <filesystem>
#include <fstream>
#include <future>
#include <thread>

#include "base/random.hpp"
#include "drill/checker.hpp"
#include "drill/load_setup.hpp"
#include "drill/stats.hpp"

namespace haechi::drill {

using namespace std::chrono_literals;

namespace {

constexpr Duration kFirstSend = 30s;

class RealLoad final : public Load {
 public:
  RealLoad(Place place, LoadOptions options) : place_(std::move(place)), options_(std::move(options)) {}

  ~RealLoad() override {
    if (!thread_.joinable()) return;
    on_loop(leave());
    loop_.stop();
    thread_.join();
  }

  Result<> prepare() override {
    std::vector<World::Node> nodes;
    for (std::uint32_t s = 0; s < place_.sites.size(); ++s) {
      for (const auto& url : place_.sites[s].nodes) {
        TRY(const auto address, Address::parse(url));
        nodes.push_back({address, s});
      }
    }
    if (nodes.empty()) return fail(Errc::Invalid, "the load has no node to talk to");
    world_ = std::make_unique<World>(loop_, std::move(nodes));
    stage_ = std::make_unique<Stage>(*world_);
    stage_->server_name = place_.server_name;
    stage_->seed = options_.seed;
    // Of this load alone, whatever the cluster saw before.
    stage_->run = "drill" + SystemRandom().text(8, "abcdefghijklmnopqrstuvwxyz0123456789") + " ";
    stage_->on_acknowledged = [this](Nanos at) { acknowledged(at); };
    hire(*stage_, place_.sites.size(), options_.clients, options_.only_senders);

    std::promise<Result<>> entered;
    thread_ = std::thread([this, &entered] {
      auto result = place_.enter_network ? place_.enter_network() : Result<>{};
      const bool good = result.has_value();
      entered.set_value(std::move(result));
      if (good) loop_.run();
    });
    if (auto result = entered.get_future().get(); !result) {
      thread_.join();
      return result;
    }
    return on_loop(move_in(*stage_));
  }

  Result<> begin(const RunPlan& plan) override {
    plan_ = plan;
    return on_loop(start());
  }

  void fault_begins(const Event& event, std::span<const int> lost) override {
    loop_.post([this, event, lost = std::vector<int>(lost.begin(), lost.end())] {
      history_.faults.push_back(event.at);
      history_.marks.push_back({event.at, event.text});
      for (const int site : lost) {
        // Told again when another one follows: it is still the same loss.
        const auto known = std::ranges::any_of(history_.losses, [&](const Loss& l) {
          return l.site == static_cast<std::uint32_t>(site) && l.until == kNever;
        });
        if (site >= 0 && !known) history_.losses.push_back({static_cast<std::uint32_t>(site), event.at});
      }
    });
  }

  void fault_ends(const Event& event) override {
    loop_.post([this, event] {
      history_.marks.push_back({event.at, event.text});
      for (auto& l : history_.losses) l.until = std::min(l.until, event.at);
    });
  }

  Pulse pulse() const override {
    const auto now = now_ns();
    const auto second = now / kSecond;
    const auto counted = second_.load();
    Pulse out;
    out.per_second = counted == second ? last_second_.load() : counted == second - 1 ? this_second_.load() : 0;
    const auto last = last_ack_.load();
    out.silent_s = last == 0 ? 0 : static_cast<double>(now - last) / static_cast<double>(kSecond);
    out.acknowledged = acknowledged_.load();
    out.errors = errors_.load();
    return out;
  }

  Result<Figures> end() override {
    const auto missing = on_loop(finish());
    const auto verdict = judge(history_);
    auto out = figures(verdict);
    for (const auto& site : missing) out.broken.push_back("site " + site + " had no node that was ready at the end");
    if (!options_.history_dir.empty()) TRY_DO(write_out());
    return out;
  }

 private:
  // --- from the caller's thread to the loop's --------------------------------

  template <class T>
  static Task<void> fulfil(Task<T> task, std::shared_ptr<std::promise<T>> promise) {
    promise->set_value(co_await std::move(task));
  }
  template <class T>
  T on_loop(Task<T> task) {
    auto promise = std::make_shared<std::promise<T>>();  // may still be in set_value() when the value is here
    auto future = promise->get_future();
    loop_.post([this, promise, task = std::move(task)]() mutable { scope_.spawn(fulfil(std::move(task), promise)); });
    return future.get();
  }

  // --- on the loop -----------------------------------------------------------

  void acknowledged(Nanos at) {
    const auto second = at / kSecond;
    if (second_ != second) {
      last_second_ = second_ == second - 1 ? this_second_.load() : 0;
      this_second_ = 0;
      second_ = second;
    }
    ++this_second_;
    ++acknowledged_;
    last_ack_ = at;
    errors_ = static_cast<std::int64_t>(world_->errors);
  }

  void new_history() {
    history_ = {};
    for (const auto& s : place_.sites) history_.sites.push_back(s.name);
    for (std::uint32_t s = 0; s < place_.sites.size(); ++s) {
      for (const auto& url : place_.sites[s].nodes) history_.nodes.push_back({url, s});
    }
    for (const auto& p : stage_->people) {
      history_.clients.push_back({p->user, std::string(name_of(p->role)), p->home, false, p->rooms});
    }
    history_.rooms = stage_->rooms;
    world_->history = &history_;
  }

  static Task<void> first_sync(Stage& stage, Person& person) {
    // What was before this run is not of this run.
    person.since.clear();
    co_await sync_once(stage, person, 0s, false);
  }

  Task<Result<>> start() {
    new_history();
    acknowledged_ = 0;
    world_->errors = 0;
    Scope syncs;
    for (auto& p : stage_->people) {
      p->first_acknowledged = false;
      // The first one's token is where the final reading begins.
      if (p->role == Role::Receiver || p == stage_->people.front()) syncs.spawn(first_sync(*stage_, *p));
    }
    co_await syncs.join();
    from_ = stage_->people.front()->since;
    if (from_.empty()) co_return fail(Errc::Unavailable, "the first sync was not answered");
    for (const auto& p : stage_->people) {
      if (p->role == Role::Receiver && p->since.empty()) {
        co_return fail(Errc::Unavailable, "a receiver's first sync was not answered");
      }
    }

    history_.load_from = world_->now();
    history_.load_until = kNever;
    stage_->going = true;
    const bool paced = options_.rate > 0;
    for (auto& p : stage_->people) {
      switch (p->role) {
        case Role::Sender: stage_->traffic.spawn(send_messages(*stage_, *p, paced)); break;
        case Role::Receiver: stage_->traffic.spawn(receive(*stage_, *p)); break;
        case Role::Uploader: stage_->traffic.spawn(upload(*stage_, *p)); break;
        case Role::Writer: stage_->traffic.spawn(write(*stage_, *p)); break;
        case Role::Chatter: stage_->traffic.spawn(chat(*stage_, *p)); break;
      }
    }
    const auto deadline = loop_.now() + kFirstSend;
    while (!everybody_sent()) {
      if (loop_.now() > deadline) {
        stage_->going = false;
        co_return fail(Errc::Unavailable, "not every client had a message acknowledged within 30 s");
      }
      co_await loop_.sleep(10ms);
    }
    if (paced) stage_->traffic.spawn(pace(*stage_, options_.rate));
    co_return Result<>{};
  }

  bool everybody_sent() const {
    return std::ranges::all_of(stage_->people,
                               [](const auto& p) { return p->role != Role::Sender || p->first_acknowledged; });
  }

  /// Twice nothing in a row, the second time after waiting: it has seen all there is.
  static Task<void> catch_up(Stage& stage, Person& person) {
    for (int empty = 0, tries = 0; empty < 2 && tries < 200; ++tries) {
      const auto found = co_await sync_once(stage, person, empty == 0 ? Duration(0s) : Duration(500ms), true);
      if (!found) co_return;
      empty = *found == 0 ? empty + 1 : 0;
    }
    stage.history().clients[person.main.client()].caught_up = true;
  }

  Task<std::vector<std::string>> finish() {
    stage_->going = false;
    history_.load_until = world_->now();
    co_await stage_->traffic.join();
    {
      Scope scope;
      for (auto& p : stage_->people) {
        if (p->role == Role::Receiver) scope.spawn(catch_up(*stage_, *p));
      }
      co_await scope.join();
    }
    co_return co_await read_everything(*stage_, from_);
  }

  Task<bool> leave() {
    stage_->going = false;
    world_->closing = true;
    co_await stage_->traffic.join();
    co_await world_->scope.join();
    co_return true;
  }

  // --- afterwards ------------------------------------------------------------

  Figures figures(const Verdict& v) const {
    const auto n = [](std::uint64_t value) { return static_cast<std::int64_t>(value); };
    Figures f;
    f.acknowledged = n(v.acknowledged);
    f.lost = n(v.lost());
    f.twice = n(v.twice());
    f.out_of_order = n(v.out_of_order());
    f.unreadable = n(v.unreadable());
    f.client_errors = n(v.client_errors());
    f.write_outage_s = v.write_outage_s;
    f.outage_from = v.outage_from;
    f.outage_until = v.outage_until;
    f.clients_moved_s = v.clients_moved_after_database_s.value_or(0);
    f.clients_moved_from_fault_s = v.clients_moved_s.value_or(0);
    f.attempted = n(v.attempted);
    f.in_doubt = n(v.in_doubt);
    f.uploads = n(v.uploads);
    f.writes = n(v.writes);
    f.deliveries = n(v.deliveries);
    f.stale_reads = n(v.stale_reads());
    f.silences = n(v.silences);
    f.quiet_before_s = v.quiet_before_s;
    f.write_outage_by_site_s = v.write_outage_by_site_s;
    // Where nothing is broken, all of the load is measured.
    const bool struck = plan_.fault != "none" && !history_.faults.empty();
    const auto fault = struck ? history_.faults.front() : history_.load_until;
    f.rate = rate(history_, history_.load_from, fault);
    const auto before = latency(history_, history_.load_from, fault);
    f.p50_ms = before.p50_ms;
    f.p99_ms = before.p99_ms;
    for (std::size_t r = 0; r < kRules; ++r) {
      if (v.counts[r] == 0) continue;
      const auto first = std::ranges::find(v.violations, static_cast<Rule>(r), &Violation::rule);
      f.broken.push_back(fmt::format("{} ({}): {}", name_of(static_cast<Rule>(r)), v.counts[r],
                                     first == v.violations.end() ? "" : first->text));
    }
    f.sites = history_.sites;
    f.began = history_.load_from;
    f.slices = slices(history_, f.slice_ns);
    return f;
  }

  Result<> write_out() const {
    namespace fs = std::filesystem;
    std::error_code error;
    fs::create_directories(options_.history_dir, error);
    const auto base = fs::path(options_.history_dir) / fmt::format("run-{:03}", plan_.number);
    for (const bool edn : {false, true}) {
      const auto path = base.string() + (edn ? ".edn" : ".jsonl");
      std::ofstream out(path, std::ios::binary);
      edn ? write_edn(out, history_) : write_json_lines(out, history_);
      out.flush();
      if (!out) return fail(Errc::Io, path + ": cannot be written");
    }
    return {};
  }

  Place place_;
  LoadOptions options_;
  RunPlan plan_;
  SystemClock clock_;
  ClientLoop loop_{clock_};
  Scope scope_;
  std::unique_ptr<World> world_;
  std::unique_ptr<Stage> stage_;
  History history_;  ///< of the run under way; the loop's until end() has come back from it
  std::string from_;
  std::thread thread_;

  std::atomic<std::int64_t> acknowledged_{0}, errors_{0}, second_{0}, this_second_{0}, last_second_{0}, last_ack_{0};
};

}  // namespace

std::unique_ptr<Load> make_load(Place place, LoadOptions options) {
  return std::make_unique<RealLoad>(std::move(place), std::move(options));
}

}  // namespace haechi::drill

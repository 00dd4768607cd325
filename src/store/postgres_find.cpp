#include "store/postgres_find.hpp"

#include <fmt/format.h>

#include <charconv>

#include "base/log.hpp"
#include "store/postgres_values.hpp"

namespace haechi::store {
namespace {

using namespace std::chrono_literals;
using std::chrono::steady_clock;

/// The last good host is alone for so long before the others are looked at too.
constexpr Duration kHeadStart = 200ms;
/// Pause before a host is looked at again.
constexpr Duration kPause = 50ms;
/// After one server said that it accepts writes, others that are still being asked may object.
constexpr Duration kObjections = 100ms;

constexpr const char* kWhatAreYou =
    "SELECT CASE WHEN pg_is_in_recovery() THEN '' ELSE pg_walfile_name(pg_current_wal_lsn()) END";

/// A node that stands still must not keep the others from their turn.
constexpr const char* kWriterSettings =
    "-c synchronous_commit=on -c idle_in_transaction_session_timeout=1000 -c client_min_messages=warning";
constexpr const char* kReaderSettings =
    "-c default_transaction_read_only=on -c idle_in_transaction_session_timeout=60000 -c client_min_messages=warning";

std::string first_line(std::string_view text) {
  const auto end = text.find('\n');
  return std::string(text.substr(0, end));
}

struct Address {
  std::string host;
  std::string port;
};

/// "host:port", "[::1]:5432".
std::optional<Address> parse(std::string_view text) {
  const auto colon = text.rfind(':');
  if (colon == text.npos || colon == 0) return std::nullopt;
  std::string_view host = text.substr(0, colon);
  const std::string_view port = text.substr(colon + 1);
  if (host.front() == '[') {
    if (host.size() < 3 || host.back() != ']') return std::nullopt;
    host = host.substr(1, host.size() - 2);
  } else if (host.find(':') != host.npos) {
    return std::nullopt;
  }
  unsigned number = 0;
  const auto [end, error] = std::from_chars(port.data(), port.data() + port.size(), number);
  if (error != std::errc{} || end != port.data() + port.size() || number == 0 || number > 65535) return std::nullopt;
  // A comma would name several hosts to libpq, a slash a directory.
  if (host.find_first_of(",/ ") != host.npos) return std::nullopt;
  return Address{std::string(host), std::string(port)};
}

int milliseconds_until(Instant when, Instant now) {
  if (when <= now) return 0;
  return static_cast<int>(std::chrono::ceil<std::chrono::milliseconds>(when - now).count());
}

}  // namespace

Probe::Probe(const PostgresOptions& options, std::size_t host, Access access, Instant now)
    : host_(host), ends_(now + options.connect_max) {
  const auto address = *parse(options.hosts[host]);
  const char* const names[] = {"host",
                               "port",
                               "dbname",
                               "user",
                               "password",
                               "options",
                               "client_encoding",
                               "application_name",
                               "gssencmode",
                               "tcp_user_timeout",
                               "keepalives_idle",
                               "keepalives_interval",
                               "keepalives_count",
                               nullptr};
  const char* const values[] = {address.host.c_str(),
                                address.port.c_str(),
                                options.database.c_str(),
                                options.user.c_str(),
                                options.password.c_str(),
                                access == Access::ReadWrite ? kWriterSettings : kReaderSettings,
                                "UTF8",
                                "haechi",
                                "disable",
                                "2000",
                                "1",
                                "1",
                                "2",
                                nullptr};
  connection_.reset(PQconnectStartParams(names, values, 0));
  if (!connection_) give_up("out of memory");
  else if (PQstatus(connection_.get()) == CONNECTION_BAD) give_up(PQerrorMessage(connection_.get()));
  // Left alone, libpq writes them to standard error.
  else PQsetNoticeReceiver(connection_.get(), [](void*, const PGresult*) {}, nullptr);
}

pollfd Probe::wants() const {
  const short events =
      state_ == State::Connecting && polling_ != PGRES_POLLING_READING ? short{POLLOUT} : short{POLLIN};
  return {PQsocket(connection_.get()), events, 0};
}

bool Probe::ready() const {
  pollfd one = wants();
  return ::poll(&one, 1, 0) > 0;
}

void Probe::advance(Instant now) {
  while (running() && ready()) step();
  if (running() && now >= ends_) give_up("no answer in time");
}

void Probe::step() {
  PGconn* c = connection_.get();
  if (state_ == State::Asking) return read_answer();
  polling_ = PQconnectPoll(c);
  if (polling_ == PGRES_POLLING_FAILED) return give_up(PQerrorMessage(c));
  if (polling_ != PGRES_POLLING_OK) return;
  PQsetnonblocking(c, 1);
  if (PQsendQuery(c, kWhatAreYou) == 0) return give_up(PQerrorMessage(c));
  state_ = State::Asking;
}

void Probe::read_answer() {
  PGconn* c = connection_.get();
  // The question is so short that what one flush does not send is not sent at all.
  if (PQflush(c) < 0 || PQconsumeInput(c) == 0) return give_up(PQerrorMessage(c));
  while (PQisBusy(c) == 0) {
    const ResultPtr result(PQgetResult(c));
    if (!result) {
      if (timeline_ == 0 && reason_.empty()) reason_ = "no answer";
      if (!reason_.empty()) return give_up(std::exchange(reason_, {}));
      state_ = State::IsPrimary;
      return;
    }
    if (PQresultStatus(result.get()) != PGRES_TUPLES_OK || PQntuples(result.get()) != 1) {
      reason_ = PQerrorMessage(c);
      continue;
    }
    // The name of a log file begins with its timeline in eight hexadecimal digits.
    const std::string_view file = PQgetvalue(result.get(), 0, 0);
    if (file.empty()) reason_ = "a standby";
    else std::from_chars(file.data(), file.data() + std::min<std::size_t>(file.size(), 8), timeline_, 16);
  }
}

void Probe::give_up(std::string why) {
  state_ = State::IsNot;
  reason_ = first_line(why);
  connection_.reset();
}

Result<std::shared_ptr<Finder>> Finder::create(PostgresOptions options) {
  if (options.hosts.empty()) return fail(Errc::Invalid, "no PostgreSQL host is given");
  for (const auto& host : options.hosts) {
    if (!parse(host)) return fail(Errc::Invalid, fmt::format("'{}' is not host:port of a PostgreSQL server", host));
  }
  if (options.database.empty() || options.user.empty()) {
    return fail(Errc::Invalid, "PostgreSQL needs the name of a database and of a user");
  }
  return std::make_shared<Finder>(std::move(options));
}

void Finder::seen(std::size_t host, Timeline timeline) {
  const std::lock_guard lock(mutex_);
  if (timeline < newest_) return;
  newest_ = timeline;
  last_good_ = host;
}

std::vector<Probe> Finder::look_elsewhere(std::size_t host, Access access) const {
  std::vector<Probe> probes;
  const Instant now = steady_clock::now();
  for (std::size_t i = 0; i < options_.hosts.size(); ++i) {
    if (i != host) probes.emplace_back(options_, i, access, now);
  }
  return probes;
}

Primary Finder::find(Access access) {
  struct Slot {
    std::optional<Probe> probe;
    Instant starts;
    std::string reason = "not looked at";
  };
  const Instant begin = steady_clock::now();
  const Instant deadline = begin + options_.find_max;
  std::optional<std::size_t> preferred;
  Timeline newest = 0;
  {
    const std::lock_guard lock(mutex_);
    preferred = last_good_;
    newest = newest_;
  }
  std::vector<Slot> slots(options_.hosts.size());
  for (std::size_t i = 0; i < slots.size(); ++i) {
    slots[i].starts = !preferred || *preferred == i ? begin : begin + kHeadStart;
  }
  std::optional<Primary> best;
  Instant objections_end;

  while (true) {
    const Instant now = steady_clock::now();
    bool running = false;
    for (std::size_t i = 0; i < slots.size(); ++i) {
      auto& slot = slots[i];
      if (best && best->host == i) continue;
      if (!slot.probe) {
        if (now < slot.starts || best) continue;
        slot.probe.emplace(options_, i, access, now);
      }
      slot.probe->advance(now);
      if (slot.probe->running()) {
        running = true;
        continue;
      }
      slot.starts = now + kPause;
      slot.reason = slot.probe->reason();
      if (slot.probe->state() == Probe::State::IsPrimary) {
        const Timeline timeline = slot.probe->timeline();
        if (timeline < newest) {
          slot.reason = fmt::format("was primary until timeline {}", newest);
        } else if (!best || best->timeline < timeline) {
          if (!best) objections_end = now + kObjections;
          best = Primary{slot.probe->take(), i, timeline};
        }
      } else if (preferred == i) {
        for (auto& other : slots) other.starts = std::min(other.starts, now + (&other == &slot ? kPause : Duration{}));
      }
      slot.probe.reset();
    }
    if (best && (!running || best->host == preferred || now >= objections_end)) {
      seen(best->host, best->timeline);
      return *std::move(best);
    }
    if (now >= deadline) break;

    Instant wake = best ? objections_end : deadline;
    std::vector<pollfd> fds;
    for (const auto& slot : slots) {
      if (slot.probe) {
        fds.push_back(slot.probe->wants());
        wake = std::min(wake, slot.probe->ends());
      } else if (!best) {
        wake = std::min(wake, slot.starts);
      }
    }
    // At least a millisecond, for a slot that is due is started on the next turn in any case.
    ::poll(fds.data(), fds.size(), std::max(1, milliseconds_until(wake, now)));
  }
  std::string why;
  for (std::size_t i = 0; i < slots.size(); ++i) {
    why += fmt::format("{}{}: {}", i == 0 ? "" : "; ", options_.hosts[i], slots[i].reason);
  }
  throw ConnectionLost("no PostgreSQL server accepts writes (" + why + ")");
}

}  // namespace haechi::store

#include "journal/shared.hpp"

#include <algorithm>
#include <thread>

#include "base/log.hpp"
#include "base/text.hpp"

namespace haechi::journal {
namespace {

using std::chrono::steady_clock;
using namespace std::chrono_literals;

constexpr std::string_view kCommits = "haechi";  // channels
constexpr std::string_view kLive = "haechi_live";
constexpr std::size_t kSayMax = 1'000;   // messages that wait to be said; the oldest go first
constexpr Position kReadAtOnce = 4'000;  // positions
constexpr std::size_t kCommandsAtOnce = 8'000;
constexpr std::size_t kTopicsRemembered = 100'000;
constexpr std::size_t kCommandsRemembered = 200'000;
constexpr Duration kListenFor = 200ms;
constexpr Duration kProveEvery = 400ms;
constexpr auto kBeforeNextTry = 50ms;
constexpr std::size_t kStoredAnswersMax = 16;

/// Two batches must not share one: the node's name and the batch's number, mixed.
std::int64_t mark_of(std::string_view node_id, std::int64_t batch) {
  std::uint64_t h = 0xcbf29ce484222325ull;
  for (const char c : node_id) h = (h ^ static_cast<unsigned char>(c)) * 0x100000001b3ull;
  h = (h ^ static_cast<std::uint64_t>(batch)) * 0x9E3779B97F4A7C15ull;
  h ^= h >> 31;
  return static_cast<std::int64_t>(h | 1);  // never 0
}

}  // namespace

void Shared::begin_at(repo::Head head, std::int64_t mark) {
  known_ = head;
  commands_floor_ = head.command;
  touched_floor_ = head.pos;
  past_ = {head.pos, mark};
}

void Shared::in_contact() {
  last_contact_.store(steady_clock::now().time_since_epoch().count(), std::memory_order_relaxed);
}

void Shared::proven() {
  proven_ = steady_clock::now();
  last_proof_.store(proven_.time_since_epoch().count(), std::memory_order_relaxed);
  needs_.proven();
}

store::Connection& Shared::connection() {
  while (!connection_) {
    if (needs_.stopping()) throw Stopping{};
    try {
      auto c = needs_.db.connect(store::Access::ReadWrite);
      if (c->term() < term_) {
        log::warn("a database server of an earlier term was passed over", {{"term", c->term()}, {"known", term_}});
        std::this_thread::sleep_for(kBeforeNextTry);
        continue;
      }
      if (c->term() > term_) {
        check_past(*c);
        log::info("the database accepts writes", {{"term", c->term()}});
      }
      term_ = c->term();
      c->listen(kCommits);
      c->listen(kLive);
      behind_ = true;
      connection_ = std::move(c);
    } catch (const store::SqlError& e) {
      log::warn("no database accepts writes", {{"error", e.what()}});
      std::this_thread::sleep_for(kBeforeNextTry);
    }
  }
  return *connection_;
}

/// What was not replicated may have been read from a server that then was lost: whoever followed
/// it remembers what never happened.
void Shared::check_past(store::Connection& c) {
  if (past_.mark == 0) return;
  if (repo::mark_at(c, past_.pos) == past_.mark) return;
  log::error("the database went on without what this node had followed", {{"position", past_.pos}});
  needs_.diverged();
}

void Shared::run(Batch& batch) {
  while (!step(batch)) {
  }
  if (!batch.committed()) return;
  known_ = batch.last();
  if (mark_ != 0) past_ = {known_.pos, mark_};
  outbox_.clear();  // it went with the batch
  in_contact();
  proven();
  hear_notices();
}

/// One attempt; true: the batch is committed, or every command of it has failed.
bool Shared::step(Batch& batch) {
  try {
    auto& c = connection();
    if (far_behind_) {
      far_behind_ = follow(c);
      return false;
    }
    if (batch.in_doubt() && settle(c, batch)) return true;
    batch.run(c, this);
    return true;
  } catch (const FarBehind&) {
    connection_->rollback();
    far_behind_ = true;
  } catch (const store::SqlError& e) {
    recover(e);
  } catch (const Stopping&) {
    batch.fail_all({Errc::ShuttingDown, "shutting down"});
    return true;
  }
  return false;
}

/// After an error that is no command's own. Whoever waits for the outcome knows how long.
void Shared::recover(const store::SqlError& error) {
  log::warn("the database cannot be used just now", {{"error", error.what()}});
  if (dynamic_cast<const store::Exhausted*>(&error) && connection_) {
    // Somebody makes room, or the database moves to a site that has some.
    connection_->rollback();
  } else {
    connection_.reset();
  }
  std::this_thread::sleep_for(kBeforeNextTry);
}

/// What came while the batch ran; nothing that goes wrong here is the batch's.
void Shared::hear_notices() {
  try {
    listen(*connection_, -1, Duration::zero());
  } catch (const store::SqlError& e) {
    recover(e);
  }
}

/// Whether the batch in doubt is in the database. The answer is only believed once a commit of
/// ours after it is acknowledged: a server may show rows that are not replicated yet.
bool Shared::settle(store::Connection& c, Batch& batch) {
  c.begin();
  repo::Head head;
  repo::take_turn(c, head);
  const bool there = repo::last_batch(c, needs_.node_id) >= attempt_;
  log::info("a commit was in doubt", {{"commands", batch.jobs().size()}, {"stored", there}});
  if (!there) {
    c.rollback();
    return false;
  }
  repo::write_batch(c, needs_.node_id, ++batch_, needs_.wall_ms());
  c.commit();
  batch.settle_as_committed();
  return true;
}

News Shared::ask(store::Connection& c, bool turn) {
  News news;
  const Position to = known_.pos + kReadAtOnce;
  if (turn) repo::take_turn(c, news.upto);
  else repo::read_head_ahead(c, news.upto);
  repo::feed_ahead(c, known_.pos, to, news.entries);
  repo::commands_ahead(c, known_.command, kCommandsAtOnce, news.commands);
  repo::marks_ahead(c, known_.pos, to, news.marks);
  std::vector<Entry> stored;
  for (const auto& [kind, read] : readers_) std::ranges::move(read(c, known_.pos, to), std::back_inserter(stored));
  c.flush();
  std::ranges::move(stored, std::back_inserter(news.entries));
  // Outside of a turn the rows may be newer than the head that was read before them.
  const Position upto = std::min(news.upto.pos, to);
  std::erase_if(news.entries, [&](const Entry& e) { return e.pos > upto; });
  std::erase_if(news.commands, [&](const auto& r) { return r.pos > news.upto.command; });
  std::erase_if(news.marks, [&](const auto& m) { return m.pos > upto; });
  std::ranges::sort(news.entries, {}, &Entry::pos);
  for (auto& e : news.entries) e.own = false;
  attach_segments(c, news.entries);
  return news;
}

void Shared::attach_segments(store::Connection& c, std::vector<Entry>& entries) const {
  for (auto& e : entries) {
    if (e.kind != kIndexSegment) continue;
    const auto id = parse_int(e.subject);
    const auto number = parse_int(e.data);
    if (!id || !number) continue;
    e.topic = -*id;
    for (const auto* index : indexes_) {
      if (index->id() != *id) continue;
      auto payload = std::make_shared<SegmentMoved>();
      payload->segment = index->read_moved(c, *number);
      e.local = std::move(payload);
    }
  }
}

void Shared::learn(News news) {
  const bool all = news.upto.pos <= known_.pos + kReadAtOnce && news.commands.size() < kCommandsAtOnce;
  if (!all) {
    news.upto.pos = std::min(news.upto.pos, known_.pos + kReadAtOnce);
    news.upto.command = news.commands.empty() ? known_.command : news.commands.back().pos;
  }
  for (const auto& e : news.entries) {
    if (e.topic != 0 && e.decisive) touched_[e.topic] = e.pos;
  }
  if (touched_.size() > kTopicsRemembered) {
    touched_.clear();
    touched_floor_ = news.upto.pos;
  }
  for (const auto& r : news.commands) remember(r.key_hash, r.pos);
  if (!news.marks.empty()) past_ = news.marks.back();
  known_ = news.upto;
  news.heard = std::exchange(heard_, {});
  if (!news.empty()) needs_.tell(std::move(news));
}

repo::Head Shared::take_turn(store::Connection& c) {
  auto news = ask(c, true);
  if (news.upto.pos > known_.pos + kReadAtOnce || news.commands.size() >= kCommandsAtOnce) throw FarBehind{};
  learn(std::move(news));
  return known_;
}

/// One step; true: there is more.
bool Shared::follow(store::Connection& c) {
  auto news = ask(c, false);
  const bool more = news.upto.pos > known_.pos + kReadAtOnce || news.commands.size() >= kCommandsAtOnce;
  learn(std::move(news));
  in_contact();
  return more;
}

bool Shared::stale(const Basis& basis) const {
  if (basis.topic == 0) return false;
  if (basis.at < touched_floor_) return true;
  const auto it = touched_.find(basis.topic);
  return it != touched_.end() && it->second > basis.at;
}

void Shared::remember(std::uint64_t hash, std::int64_t command_pos) {
  commands_.emplace(hash, command_pos);
  commands_order_.emplace_back(hash, command_pos);
  while (commands_order_.size() > kCommandsRemembered) {
    const auto [old, pos] = commands_order_.front();
    commands_order_.pop_front();
    commands_floor_ = std::max(commands_floor_, pos);
    for (auto [it, end] = commands_.equal_range(old); it != end; ++it) {
      if (it->second == pos) {
        commands_.erase(it);
        break;
      }
    }
  }
}

std::optional<std::string> Shared::earlier_answer(store::Connection& c, std::uint64_t hash, std::string_view full_key,
                                                  std::int64_t known) const {
  std::vector<std::int64_t> candidates;
  if (known < commands_floor_) {
    candidates = repo::commands_with_hash(c, hash, known);
  } else {
    for (auto [it, end] = commands_.equal_range(hash); it != end; ++it) {
      if (it->second > known) candidates.push_back(it->second);
    }
  }
  if (candidates.size() > kStoredAnswersMax) candidates.resize(kStoredAnswersMax);
  for (const auto pos : candidates) {
    if (auto record = repo::command_at(c, pos); record && record->full_key == full_key)
      return std::move(record->answer);
  }
  return std::nullopt;
}

void Shared::sign(store::Connection& c, repo::Head before, repo::Head after) {
  attempt_ = ++batch_;
  mark_ = 0;
  repo::write_batch(c, needs_.node_id, batch_, needs_.wall_ms());
  if (after.pos != before.pos) {
    mark_ = mark_of(needs_.node_id, batch_);
    repo::add_mark(c, after.pos, mark_);
  }
  if (after != before) c.notify(kCommits, needs_.node_id);
  speak(c);
}

void Shared::say(std::string_view topic, std::string_view message) {
  std::string text = needs_.node_id;
  text.append(" ").append(topic).append(" ").append(message);
  const std::lock_guard lock(said_mutex_);
  if (said_.size() >= kSayMax) said_.pop_front();
  said_.push_back(std::move(text));
}

/// Inside a transaction: with its commit the others hear what was said.
void Shared::speak(store::Connection& c) {
  {
    const std::lock_guard lock(said_mutex_);
    while (!said_.empty()) {
      outbox_.push_back(std::move(said_.front()));
      said_.pop_front();
    }
  }
  while (outbox_.size() > kSayMax) outbox_.pop_front();
  for (const auto& text : outbox_) c.notify(kLive, text);
}

void Shared::idle(int wake_fd) {
  try {
    auto& c = connection();
    if (behind_) behind_ = follow(c);
    if (something_said()) {
      // A transaction of notices alone writes nothing, and so waits for no second copy.
      c.begin();
      speak(c);
      c.commit();
      outbox_.clear();
    }
    if (!behind_ && steady_clock::now() - proven_ > kProveEvery) prove(c);
    listen(c, wake_fd, behind_ ? Duration::zero() : kListenFor);
  } catch (const store::SqlError& e) {
    recover(e);
  } catch (const Stopping&) {
  }
}

bool Shared::something_said() {
  const std::lock_guard lock(said_mutex_);
  return !said_.empty() || !outbox_.empty();
}

/// A commit without a change: that reads work does not show that writes do.
void Shared::prove(store::Connection& c) {
  c.begin();
  repo::write_batch(c, needs_.node_id, batch_, needs_.wall_ms());
  c.commit();
  in_contact();
  proven();
}

void Shared::listen(store::Connection& c, int wake_fd, Duration at_most) {
  for (auto& notice : c.wait(wake_fd, at_most)) {
    const std::string_view text = notice.payload;
    if (notice.channel == kCommits) {
      if (text != needs_.node_id) behind_ = true;
      continue;
    }
    const auto node_end = text.find(' ');
    const auto topic_end = text.find(' ', node_end + 1);
    if (node_end == text.npos || topic_end == text.npos || text.substr(0, node_end) == needs_.node_id) continue;
    heard_.push_back(
        {std::string(text.substr(node_end + 1, topic_end - node_end - 1)), std::string(text.substr(topic_end + 1))});
  }
  if (!heard_.empty()) {
    News news;
    news.upto = known_;
    news.heard = std::exchange(heard_, {});
    needs_.tell(std::move(news));
  }
}

}  // namespace haechi::journal

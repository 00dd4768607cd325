#pragma once
// Histories as a faultless platform would leave them, to be bent by the tests.

#include <algorithm>
#include <map>
#include <random>

#include "drill/history.hpp"

namespace haechi::drill {

/// Three sites of two nodes; a sender and a receiver at home in each; one uploader and one writer.
class Builder {
 public:
  static constexpr std::uint32_t kSenders = 3;
  static constexpr std::uint32_t kReceiver = 3;  ///< the first of three
  static constexpr std::uint32_t kUploader = 6;
  static constexpr std::uint32_t kWriter = 7;

  explicit Builder(std::uint64_t seed = 1, std::uint32_t rooms = 1) : random_(seed) {
    h.sites = {"a", "b", "c"};
    for (std::uint32_t n = 0; n < 6; ++n) h.nodes.push_back({"http://10.0.0." + std::to_string(n), n / 2});
    for (std::uint32_t c = 0; c < 8; ++c) {
      const bool receiver = c >= kReceiver && c < kUploader;
      h.clients.push_back({"@c" + std::to_string(c), receiver ? "receiver" : "sender", c % 3, receiver, {}});
    }
    for (std::uint32_t r = 0; r < rooms; ++r) h.rooms.push_back("!room" + std::to_string(r));
    for (auto& c : h.clients) {
      for (std::uint32_t r = 0; r < rooms; ++r) c.rooms.push_back(r);
    }
    stored.resize(rooms);
    h.load_from = kSecond;
    now_ = kSecond;
  }

  std::uint64_t below(std::uint64_t n) { return random_() % n; }
  Nanos now() const { return now_; }
  void pass(Nanos time) { now_ += time; }

  /// A send of some length that overlaps with nothing; returns its place in `h.operations`.
  std::size_t send(std::uint32_t client = 0, std::uint32_t room = 0, Outcome outcome = Outcome::Ok,
                   std::uint32_t node = UINT32_MAX) {
    Operation o;
    o.client = client;
    o.room = room;
    o.number = ++number_;
    o.node = node == UINT32_MAX ? client * 2 % 6 : node;
    o.start = now_;
    now_ += kMillisecond * (1 + static_cast<Nanos>(below(4)));
    o.outcome = outcome;
    if (outcome == Outcome::Ok) {
      o.end = now_;
      o.status = 200;
    }
    const Ref event = h.texts.add("$event" + std::to_string(o.number));
    if (outcome != Outcome::Failed) {
      if (outcome == Outcome::Ok) o.result = event;
      stored[room].push_back({event, o.number});
    }
    h.operations.push_back(o);
    now_ += kMillisecond;
    return h.operations.size() - 1;
  }

  /// Every receiver is shown what it was not shown yet, in one answer.
  void sync() {
    for (std::uint32_t c = kReceiver; c < kUploader; ++c) {
      for (std::uint32_t r = 0; r < stored.size(); ++r) {
        auto& upto = shown_[c][r];
        for (; upto < stored[r].size(); ++upto) {
          h.seen.push_back({now_, stored[r][upto].number, c, c, r, stored[r][upto].event, false});
        }
      }
      const auto to = static_cast<std::int64_t>(number_);
      h.steps.push_back({now_, tokens_[c], to, c, c});
      tokens_[c] = to;
    }
    now_ += kMillisecond;
  }

  std::size_t operation(Kind kind, std::uint32_t client, std::uint64_t number, std::uint32_t node = 0) {
    Operation o;
    o.kind = kind;
    o.client = client;
    o.number = number;
    o.node = node;
    o.start = now_;
    now_ += kMillisecond;
    o.end = now_;
    o.outcome = Outcome::Ok;
    o.status = 200;
    if (kind == Kind::Upload) o.result = h.texts.add("mxc://drill/" + std::to_string(number));
    h.operations.push_back(o);
    now_ += kMillisecond;
    return h.operations.size() - 1;
  }

  void lose(std::uint32_t site, Nanos length) {
    h.faults.push_back(now_);
    h.losses.push_back({site, now_, now_ + length});
  }

  void trouble(What what, std::uint32_t node, std::uint16_t status = 0) {
    h.troubles.push_back({now_ - kMillisecond, now_, 0, node, Kind::Send, what, status, ""});
  }

  /// Everything is read back through one node of each site.
  History& finish() {
    sync();
    h.load_until = now_;
    for (std::uint32_t r = 0; r < stored.size(); ++r) {
      for (const std::uint32_t node : {0U, 2U, 4U}) {
        FinalRoom f{r, node, {{h.texts.add("$create" + std::to_string(r)), 0}}};
        f.events.insert(f.events.end(), stored[r].begin(), stored[r].end());
        h.finals.push_back(std::move(f));
      }
    }
    return h;
  }

  /// A run of `sends` with a bit of everything and site b lost in its middle.
  History& good_run(std::size_t sends) {
    const auto uploads = 1 + below(4);
    for (std::uint64_t i = 1; i <= uploads; ++i) {
      operation(Kind::Upload, kUploader, i);
      operation(Kind::Download, kUploader, i, 5);
    }
    std::uint64_t version = 0;
    for (std::size_t i = 0; i < sends; ++i) {
      if (i == sends / 2) lose(1, 200 * kMillisecond);
      const bool lost = h.lost_at(1, now_);
      const auto client = static_cast<std::uint32_t>(below(kSenders));
      const auto room = static_cast<std::uint32_t>(below(stored.size()));
      if (lost && client == 1) trouble(What::Refused, 2);
      const bool doubt = below(20) == 0;
      const auto at = send(client, room, doubt ? Outcome::Unknown : Outcome::Ok, lost && client == 1 ? 4 : UINT32_MAX);
      if (doubt && below(2) == 0) stored[room].pop_back();  // it never arrived
      if (!doubt && below(10) == 0) {
        auto again = h.operations[at];
        again.kind = below(2) ? Kind::Resend : Kind::ReadEvent;
        again.start = now_;
        again.end = now_ += kMillisecond;
        again.node = 5;
        h.operations.push_back(again);
      }
      if (below(10) == 0) operation(Kind::Write, kWriter, ++version);
      if (below(10) == 0) operation(Kind::Read, kWriter, version);
      if (below(3) == 0) sync();
    }
    operation(Kind::Read, kWriter, version);
    h.operations.back().final = true;
    for (std::uint64_t i = 1; i <= uploads; ++i) {
      for (const std::uint32_t node : {0U, 2U, 4U}) {
        h.operations[operation(Kind::Download, kUploader, i, node)].final = true;
      }
    }
    return finish();
  }

  History h;
  std::vector<std::vector<FinalEvent>> stored;  ///< by room, in order

 private:
  std::mt19937_64 random_;
  Nanos now_ = 0;
  std::uint64_t number_ = 0;
  std::map<std::uint32_t, std::map<std::uint32_t, std::size_t>> shown_;
  std::map<std::uint32_t, std::int64_t> tokens_{{3, 0}, {4, 0}, {5, 0}};
};

}  // namespace haechi::drill

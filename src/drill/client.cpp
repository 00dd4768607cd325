#include "drill/client.hpp"

#include <fmt/format.h>

#include <algorithm>

namespace haechi::drill {

using namespace std::chrono_literals;

namespace {

constexpr std::string_view kReady =
    "GET /health/ready HTTP/1.1\r\nHost: drill\r\nConnection: close\r\nContent-Length: 0\r\n\r\n";
/// After the first node that is ready, better ones get this long to answer too.
constexpr Duration kBetterOnes = 30ms;
/// A pause before a busy or unready platform is asked again.
constexpr Duration kBreath = 200ms;
constexpr std::size_t kDetailMax = 200;

/// May come back from a refusal by trying again.
bool passing(int status) { return status >= 500 || status == 408 || status == 425 || status == 429; }

}  // namespace

std::string make_head(std::string_view method, std::string_view path, std::string_view token, std::size_t body_bytes,
                      std::string_view content_type) {
  const auto authorization = token.empty() ? std::string() : fmt::format("Authorization: Bearer {}\r\n", token);
  return fmt::format("{} {} HTTP/1.1\r\nHost: drill\r\n{}Content-Type: {}\r\nContent-Length: {}\r\n\r\n", method, path,
                     authorization, content_type, body_bytes);
}

std::string make_request(std::string_view method, std::string_view path, std::string_view token, std::string_view body,
                         std::string_view content_type) {
  auto out = make_head(method, path, token, body.size(), content_type);
  out += body;
  return out;
}

// --- World -------------------------------------------------------------------

Task<World::Health> World::ask(std::uint32_t node, Duration deadline) {
  Link link(loop, nodes[node].address);
  link.begin(kReady);
  const auto state = co_await link.wait(loop.now() + deadline);
  if (state != Link::State::Answered) co_return Health::Dead;
  co_return link.status() == 200 ? Health::Ready : Health::NotReady;
}

namespace {

struct Round {
  explicit Round(World& world) : health(world.nodes.size(), World::Health::Unknown), changed(world.loop) {}
  std::vector<World::Health> health;
  Waiter changed;
};

Task<void> ask_into(World& world, std::shared_ptr<Round> round, std::uint32_t node) {
  const auto health = co_await world.ask(node, kAskFor);
  round->health[node] = health;
  round->changed.notify();
}

}  // namespace

Task<std::vector<World::Health>> World::ask_all() {
  auto round = std::make_shared<Round>(*this);
  for (std::uint32_t n = 0; n < nodes.size(); ++n) scope.spawn(ask_into(*this, round, n));
  auto deadline = loop.now() + kAskFor + 50ms;
  bool found = false;
  for (;;) {
    if (std::ranges::find(round->health, Health::Unknown) == round->health.end()) break;
    if (!found && std::ranges::find(round->health, Health::Ready) != round->health.end()) {
      found = true;
      deadline = std::min(deadline, loop.now() + kBetterOnes);
    }
    if (co_await round->changed.wait(deadline) == Wake::Deadline) break;
  }
  co_return round->health;
}

void World::trouble(Trouble trouble) {
  if (!history) return;
  const auto at_lost_site = history->lost_within(nodes[trouble.node].site, trouble.since, trouble.at);
  errors += trouble.what == What::GaveUp || (trouble.what != What::Silent && !at_lost_site);
  if (trouble.detail.size() > kDetailMax) trouble.detail.resize(kDetailMax);
  history->troubles.push_back(std::move(trouble));
}

// --- Roamer ------------------------------------------------------------------

Roamer::Roamer(World& world, std::uint32_t client, std::vector<std::uint32_t> order)
    : world_(world), client_(client), order_(std::move(order)), node_(order_.front()) {}

void Roamer::go_to(std::uint32_t node) {
  if (node == node_) return;
  node_ = node;
  link_.reset();
}

Task<void> Roamer::look_home() {
  const auto site = world_.nodes[order_.front()].site;
  bool ready = false;
  for (const auto node : order_) {
    if (world_.nodes[node].site != site) break;
    if (co_await world_.ask(node, kAskFor) == World::Health::Ready) {
      ready = true;
      home_node_ = node;
      break;
    }
  }
  home_ready_ = ready ? home_ready_ + 1 : 0;
  look_again_ = world_.loop.now() + kHomeEvery;
  looking_ = false;
}

/// Waits for the answer as long as the node shows that it is alive.
Task<Link::State> Roamer::attempt(const Asked& asked, Instant give_up) {
  if (!link_) link_ = std::make_unique<Link>(world_.loop, world_.nodes[node_].address);
  link_->begin(asked.request, asked.body);
  int unready = 0;
  for (;;) {
    const auto state = co_await link_->wait(std::min(world_.loop.now() + kAskAfter, give_up));
    if (state != Link::State::Waiting) co_return state;
    if (world_.closing || world_.loop.now() >= give_up || !link_->connected()) break;
    const auto health = co_await world_.ask(node_, kAskFor);
    if (link_->state() != Link::State::Waiting) co_return link_->state();
    if (health == World::Health::Dead) break;
    if (health == World::Health::Ready) {
      unready = 0;
    } else if (++unready >= 2) {
      // It is alive and says that it cannot serve. Worth leaving only for one that can.
      const auto all = co_await world_.ask_all();
      if (link_->state() != Link::State::Waiting) co_return link_->state();
      if (std::ranges::find(all, World::Health::Ready) != all.end()) break;
    }
  }
  link_->close();
  co_return Link::State::Waiting;
}

Task<void> Roamer::move(bool stay_if_ready) {
  const auto all = co_await world_.ask_all();
  for (const auto wanted : {World::Health::Ready, World::Health::NotReady}) {
    for (const auto node : order_) {
      if (all[node] != wanted || (node == node_ && !stay_if_ready)) continue;
      if (wanted == World::Health::NotReady) co_await world_.loop.sleep(kBreath);
      co_return go_to(node);
    }
  }
  // Nobody answers: the next one in order.
  co_await world_.loop.sleep(kBreath);
  const auto at = std::ranges::find(order_, node_);
  go_to(std::next(at) == order_.end() ? order_.front() : *std::next(at));
}

Task<Reply> Roamer::call(Asked asked) {
  busy_ = true;
  const auto home = world_.nodes[order_.front()].site;
  if (world_.nodes[node_].site != home) {
    if (home_ready_ >= 2) {
      home_ready_ = 0;
      go_to(home_node_);
    } else if (!looking_ && world_.loop.now() >= look_again_) {
      looking_ = true;
      world_.scope.spawn(look_home());
    }
  }

  Reply reply;
  reply.start = world_.now();
  const auto give_up = world_.loop.now() + asked.patience;
  for (;; ++reply.attempts) {
    Trouble met;
    met.since = world_.now();
    met.client = client_;
    met.kind = asked.kind;
    met.node = node_;
    const auto state = co_await attempt(asked, give_up);
    reply.end = met.at = world_.now();
    reply.node = node_;
    bool stay = false;
    if (state == Link::State::Answered) {
      reply.status = link_->status();
      const auto body = link_->body();
      const auto judgement = asked.judge           ? asked.judge(reply.status, body, reply.attempts)
                             : reply.status == 200 ? Judgement::Good
                                                   : Judgement::Bad;
      if (judgement != Judgement::Bad) {
        reply.body = body;
        reply.outcome = judgement == Judgement::Good ? Outcome::Ok : Outcome::Failed;
        break;
      }
      met.what = reply.status >= 400 ? What::Status : What::Content;
      met.status = static_cast<std::uint16_t>(reply.status);
      met.detail = body.substr(0, kDetailMax);
      world_.trouble(met);
      if (reply.status >= 400 && !passing(reply.status)) {
        reply.body = body;
        reply.outcome = Outcome::Failed;
        break;
      }
      stay = true;
      co_await world_.loop.sleep(kBreath);
    } else {
      met.what = state == Link::State::Refused  ? What::Refused
                 : state == Link::State::Broken ? What::Broken
                                                : What::Silent;
      stay = met.what == What::Broken;
      world_.trouble(met);
    }
    if (world_.closing || world_.loop.now() >= give_up) {
      met.at = world_.now();
      met.what = What::GaveUp;
      met.detail = fmt::format("after {} attempts", reply.attempts);
      world_.trouble(std::move(met));
      break;
    }
    // The first disappointment costs no time; whoever meets one after the other does not storm the nodes.
    if (reply.attempts > 1) co_await world_.loop.sleep(kBreath);
    co_await move(stay);
  }
  busy_ = false;
  co_return reply;
}

}  // namespace haechi::drill

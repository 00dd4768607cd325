#pragma once
// A client that lives through the loss of its site: it keeps its access token and the key of
// what it is doing, and goes on at another node. All on the load's loop.

#include <functional>
#include <memory>
#include <string>
#include <string_view>
#include <vector>

#include "drill/client_link.hpp"
#include "drill/history.hpp"

namespace haechi::drill {

/// A request unanswered for this long makes its client ask whether the node is alive...
inline constexpr Duration kAskAfter = std::chrono::milliseconds(600);
/// ...and no answer to that for this long makes it move. Also the longest wait for a connection.
inline constexpr Duration kAskFor = std::chrono::milliseconds(600);
/// Nodes hold requests for 20 s before they refuse them; a client stays that long, and longer.
inline constexpr Duration kPatience = std::chrono::seconds(40);
/// How often a client that is away looks whether its home is ready again.
inline constexpr Duration kHomeEvery = std::chrono::seconds(2);

/// What all clients share.
class World {
 public:
  struct Node {
    Address address;
    std::uint32_t site = 0;
  };
  enum class Health : std::uint8_t { Unknown, Ready, NotReady, Dead };

  World(ClientLoop& loop, std::vector<Node> nodes) : loop(loop), nodes(std::move(nodes)) {}

  /// Asks one node for /health/ready over a connection of its own.
  Task<Health> ask(std::uint32_t node, Duration deadline);
  /// Asks all nodes at once. Comes back when all have answered or timed out, or a little after the first is ready.
  Task<std::vector<Health>> ask_all();

  Nanos now() const { return loop.now().time_since_epoch().count(); }
  void trouble(Trouble trouble);

  ClientLoop& loop;
  const std::vector<Node> nodes;
  Scope scope;                 ///< of questions that outlive who asked
  History* history = nullptr;  ///< of the run under way
  bool closing = false;        ///< everybody gives up at the next look at the time
  std::uint64_t errors = 0;    ///< failures that surviving sites showed
};

enum class Judgement {
  Good,
  No,   ///< an answer, but not the one hoped for; the judge will make of it what it must
  Bad,  ///< no answer that a client should be shown
};

struct Asked {
  Kind kind = Kind::Setup;
  std::string request;    ///< head, and the body unless apart
  std::string_view body;  ///< must outlive the call
  /// Of status, body and how many attempts were made. Without it 200 is good.
  std::function<Judgement(int, std::string_view, std::uint16_t)> judge;
  Duration patience = kPatience;
};

struct Reply {
  Outcome outcome = Outcome::Unknown;
  int status = 0;
  std::string body;
  std::uint32_t node = 0;
  std::uint16_t attempts = 1;
  Nanos start = 0, end = 0;
};

/// Head of a request; the same bytes go to any node.
std::string make_request(std::string_view method, std::string_view path, std::string_view token,
                         std::string_view body = {}, std::string_view content_type = "application/json");
/// As above for a body that is sent apart from its head.
std::string make_head(std::string_view method, std::string_view path, std::string_view token, std::size_t body_bytes,
                      std::string_view content_type);

class Roamer {
 public:
  /// `order` has all nodes, the best first.
  Roamer(World& world, std::uint32_t client, std::vector<std::uint32_t> order);

  /// One call at a time. Moves from node to node with the same request until it is answered,
  /// refused for good, or patience ends. Every disappointment goes into the history.
  Task<Reply> call(Asked asked);

  std::uint32_t node() const { return node_; }
  bool busy() const { return busy_; }
  std::uint32_t client() const { return client_; }

 private:
  Task<Link::State> attempt(const Asked& asked, Instant give_up);
  Task<void> move(bool stay_if_ready);
  Task<void> look_home();
  void go_to(std::uint32_t node);

  World& world_;
  const std::uint32_t client_;
  const std::vector<std::uint32_t> order_;
  std::uint32_t node_;
  std::unique_ptr<Link> link_;
  bool busy_ = false;
  bool looking_ = false;
  int home_ready_ = 0;  ///< times in a row that home called itself ready
  std::uint32_t home_node_ = 0;
  Instant look_again_{};
};

}  // namespace haechi::drill

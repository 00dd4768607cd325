#pragma once
// Short questions to the members of the platform (etcd, Patroni, nodes): many at a
// time, over kept connections, each with a deadline. Whether a member refuses the
// connection or says nothing at all is the difference between a process that is gone
// and a site that may only be cut off.

#include <memory>
#include <string>

#include "base/clock.hpp"
#include "base/loop.hpp"
#include "base/task.hpp"

namespace haechi::cluster {

struct Question {
  std::string method = "GET";
  std::string url;
  std::string body;
  std::string content_type;
  Duration timeout = std::chrono::seconds(1);
  bool connect_only = false;  ///< whether anybody listens there; nothing is sent
};

struct Answer {
  enum class How : std::uint8_t { Answered, Refused, Silent };
  How how = How::Silent;
  int status = 0;  ///< of an answer
  std::string body;
  Duration took{};
  bool ok() const { return how == How::Answered && status >= 200 && status < 300; }
  bool answered() const { return how == How::Answered; }
};

/// Loop thread only.
class Asker {
 public:
  virtual ~Asker() = default;
  virtual Task<Answer> ask(Question question) = 0;
};

/// Over HTTP, by one thread of its own. Destroy it when no question is open any more, or after stop().
class HttpAsker final : public Asker {
 public:
  /// `extra_ca_file` is trusted besides the system's authorities; may be empty.
  HttpAsker(Loop& loop, std::string extra_ca_file);
  ~HttpAsker() override;
  Task<Answer> ask(Question question) override;
  /// What is open ends at once as Silent, and so does what comes.
  void stop();

 private:
  struct Impl;
  std::unique_ptr<Impl> impl_;
};

}  // namespace haechi::cluster

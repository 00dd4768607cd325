#pragma once
// User-interactive authentication:
// https://spec.matrix.org/v1.19/client-server-api/#user-interactive-authentication-api
// Its sessions live in memory: after a restart a client is simply asked again. Where
// there are several nodes they can be taken over by another one. Every flow here has
// one stage, so what has been proven need not travel.

#include <list>
#include <map>
#include <set>
#include <string>
#include <variant>
#include <vector>

#include "base/json.hpp"
#include "base/random.hpp"
#include "identity/accounts.hpp"
#include "identity/hand_over.hpp"
#include "identity/tokens.hpp"

namespace haechi::identity {

inline constexpr std::string_view kStagePassword = "m.login.password";
inline constexpr std::string_view kStageDummy = "m.login.dummy";
inline constexpr std::string_view kStageRegistrationToken = "m.login.registration_token";

struct UiaFlow {
  std::vector<std::string> stages;
};

struct UiaContext {
  std::string operation;  ///< "POST /account/password"
  std::string user_id;    ///< who asks; empty before there is a user
  std::string address;    ///< for the limit on password tries
  json::object body;      ///< the request without `auth`
};

/// All stages of one flow are passed; the session is spent.
struct UiaCompleted {
  /// What to carry out: the request's body, or that of an earlier request of the
  /// session when this one held nothing but `auth`.
  json::object body;
  std::optional<std::string> registration_token;
};
/// Answer 401 with this body.
struct UiaChallenge {
  json::object body;
};
using UiaOutcome = std::variant<UiaCompleted, UiaChallenge>;

struct UiaOptions {
  std::size_t sessions_max = 10'000;
  Duration lifetime = std::chrono::minutes(15);
};

/// Loop thread only.
class Uia {
 public:
  /// `hand_over`: for sessions that go on on another node; null where there is none.
  Uia(Loop& loop, Random& random, Accounts& accounts, RegistrationTokens& registration_tokens, UiaOptions options = {},
      HandOver* hand_over = nullptr);
  ~Uia();

  /// `auth` is the request's member of that name, null when absent. Errc::Forbidden
  /// when the session belongs to another operation, user or body;
  /// Errc::LimitExceeded for too many tries; Errc::InvalidParam for a malformed `auth`.
  Task<Result<UiaOutcome>> check(std::vector<UiaFlow> flows, const json::value* auth, UiaContext context);
  /// For GET /register/m.login.registration_token/validity, and the admin.
  std::size_t sessions() const { return sessions_.size(); }

 private:
  struct Session {
    std::string id;
    std::string operation, user_id;
    json::object body;     ///< empty when too large to keep
    Sha256 fingerprint{};  ///< of the whole body
    bool bound = false;    ///< a stage was passed: the body may no longer change
    bool kept = false;     ///< the other nodes can find it as it is
    std::set<std::string, std::less<>> completed;
    std::optional<std::string> registration_token;
    Instant until{};
  };
  using SessionList = std::list<Session>;
  struct StageFailure {
    std::string errcode, error;
  };
  using StageResult = std::optional<StageFailure>;

  Session& open(const UiaContext& context, std::string id);
  /// Opens here what another node has begun; nothing when it is not known there either.
  Task<Result<>> take_over(std::string id);
  Session* find(std::string_view id);
  void close(SessionList::iterator at);
  void expire();
  Task<Result<StageResult>> stage(std::string type, json::object auth, UiaContext context, std::string session_id);
  UiaChallenge challenge(const std::vector<UiaFlow>& flows, const Session& session, const StageResult& failure) const;

  Loop& loop_;
  Random& random_;
  Accounts& accounts_;
  RegistrationTokens& registration_tokens_;
  UiaOptions options_;
  HandOver* hand_over_;
  SessionList order_;  ///< oldest first: all live equally long
  std::unordered_map<std::string_view, SessionList::iterator, StringHash, std::equal_to<>> sessions_;
};

}  // namespace haechi::identity

#include "identity/uia.hpp"

#include <algorithm>

#include "base/hash.hpp"
#include "identity/user_id.hpp"

namespace haechi::identity {
namespace {

constexpr std::size_t kBodyKeptBytesMax = 4096;

// The same text for the same members in any order: clients rebuild their bodies.
void append_sorted(std::string& out, const json::value& v) {
  if (const auto* o = v.if_object()) {
    std::vector<const json::key_value_pair*> members;
    for (const auto& kv : *o) members.push_back(&kv);
    std::ranges::sort(members, {}, [](const auto* kv) { return std::string_view(kv->key().data(), kv->key().size()); });
    out += '{';
    for (const auto* kv : members) {
      append_json_string(out, {kv->key().data(), kv->key().size()});
      out += ':';
      append_sorted(out, kv->value());
      out += ',';
    }
    out += '}';
  } else if (const auto* a = v.if_array()) {
    out += '[';
    for (const auto& item : *a) {
      append_sorted(out, item);
      out += ',';
    }
    out += ']';
  } else {
    out += to_text(v);
  }
}

constexpr std::size_t kSessionIdLength = 24;

bool is_session_id(std::string_view id) {
  return id.size() == kSessionIdLength && id.find_first_not_of(Random::kAlphanumeric) == std::string_view::npos;
}

bool names_stage(const std::vector<UiaFlow>& flows, std::string_view type) {
  return std::ranges::any_of(flows, [&](const auto& f) { return std::ranges::find(f.stages, type) != f.stages.end(); });
}

}  // namespace

Uia::Uia(Loop& loop, Random& random, Accounts& accounts, RegistrationTokens& registration_tokens, UiaOptions options,
         HandOver* hand_over)
    : loop_(loop),
      random_(random),
      accounts_(accounts),
      registration_tokens_(registration_tokens),
      options_(options),
      hand_over_(hand_over && hand_over->needed() ? hand_over : nullptr) {}

Uia::~Uia() = default;

void Uia::close(SessionList::iterator at) {
  if (at->registration_token) registration_tokens_.release(*at->registration_token);
  sessions_.erase(at->id);
  order_.erase(at);
}

void Uia::expire() {
  while (!order_.empty() && order_.front().until <= loop_.now()) close(order_.begin());
}

Uia::Session& Uia::open(const UiaContext& context, std::string id) {
  while (order_.size() >= std::max<std::size_t>(options_.sessions_max, 1)) close(order_.begin());
  auto& s = order_.emplace_back();
  s.id = std::move(id);
  s.operation = context.operation;
  s.user_id = context.user_id;
  s.until = loop_.now() + options_.lifetime;
  sessions_.emplace(s.id, std::prev(order_.end()));
  return s;
}

Uia::Session* Uia::find(std::string_view id) {
  const auto found = sessions_.find(id);
  return found == sessions_.end() ? nullptr : &*found->second;
}

Task<Result<>> Uia::take_over(std::string id) {
  CO_TRY(const auto text, co_await hand_over_->find("uia " + id));
  if (!text || find(id)) co_return {};
  const auto known = must_parse_object(*text);
  UiaContext begun;
  begun.operation = get_string(known, "operation").value_or("");
  begun.user_id = get_string(known, "user").value_or("");
  auto& session = open(begun, std::move(id));
  if (const auto* body = get_object(known, "body")) session.body = *body;
  std::string sorted;
  append_sorted(sorted, session.body);
  session.fingerprint = sha256(sorted);
  session.kept = true;
  co_return {};
}

Task<Result<UiaOutcome>> Uia::check(std::vector<UiaFlow> flows, const json::value* auth, UiaContext context) {
  expire();
  json::object given;
  if (auth) {
    if (!auth->is_object()) co_return fail(Errc::InvalidParam, "auth must be an object");
    given = auth->get_object();
  }
  std::string type(get_string(given, "type").value_or(""));

  // A session that is not known (any more) is replaced, and its stages are asked for
  // again: what came with it was meant for a request that nobody here remembers.
  const auto session_id = get_string(given, "session").value_or("");
  Session* session = find(session_id);
  if (!session && hand_over_ && is_session_id(session_id)) {
    CO_TRY_DO(co_await take_over(std::string(session_id)));
    session = find(session_id);
  }
  if (!session && !session_id.empty()) type.clear();
  if (session && (session->operation != context.operation || session->user_id != context.user_id)) {
    co_return fail(Errc::Forbidden, "This authentication session belongs to another request");
  }
  if (!session) session = &open(context, random_.text(kSessionIdLength));

  // The first request often only asks which flows there are, so the body counts
  // from the first stage that was passed with it.
  if (!context.body.empty()) {
    std::string text;
    append_sorted(text, context.body);
    const auto fingerprint = sha256(text);
    if (session->bound && fingerprint != session->fingerprint) {
      co_return fail(Errc::Forbidden, "The request changed while it was being authenticated");
    }
    if (fingerprint != session->fingerprint) session->kept = false;
    session->fingerprint = fingerprint;
    session->body = text.size() <= kBodyKeptBytesMax ? context.body : json::object();
  }

  StageResult failure;
  if (!type.empty()) {
    const std::string id = session->id;
    if (!names_stage(flows, type)) {
      failure = StageFailure{"M_UNRECOGNIZED", "This stage is not part of any flow"};
    } else if (!session->completed.contains(type)) {
      CO_TRY(failure, co_await stage(type, given, context, id));
      session = find(id);
      if (!session) co_return fail(Errc::Forbidden, "This authentication session has ended");
      if (!failure) {
        session->completed.insert(type);
        session->bound = true;
      }
    }
  }
  const bool passed = !failure && std::ranges::any_of(flows, [&](const auto& f) {
    return std::ranges::all_of(f.stages, [&](const auto& s) { return session->completed.contains(s); });
  });
  if (!passed) {
    UiaOutcome asked(challenge(flows, *session, failure));
    if (hand_over_ && !std::exchange(session->kept, true)) {
      auto text =
          to_text(json::object{{"operation", session->operation}, {"user", session->user_id}, {"body", session->body}});
      CO_TRY_DO(co_await hand_over_->keep("uia " + session->id, std::move(text), options_.lifetime));
    }
    co_return asked;
  }

  UiaCompleted done{.body = context.body.empty() ? session->body : std::move(context.body),
                    .registration_token = session->registration_token};
  close(sessions_.at(session->id));
  co_return UiaOutcome(std::move(done));
}

Task<Result<Uia::StageResult>> Uia::stage(std::string type, json::object auth, UiaContext context,
                                          std::string session_id) {
  if (type == kStageDummy) co_return StageResult{};

  if (type == kStagePassword) {
    const auto password = get_string(auth, "password");
    if (!password) co_return StageFailure{"M_MISSING_PARAM", "password is missing"};
    // The identifier, or the form that clients used before there were identifiers.
    auto name = get_string(auth, "user");
    if (const auto* identifier = get_object(auth, "identifier")) {
      if (get_string(*identifier, "type") != "m.id.user") {
        co_return StageFailure{"M_UNRECOGNIZED", "only identifiers of type m.id.user are known"};
      }
      name = get_string(*identifier, "user");
    }
    if (name) {
      const auto user_id = resolve_login_name(*name, accounts_.server_name());
      if (!user_id || (*user_id != context.user_id && to_lower_ascii(*user_id) != context.user_id)) {
        // Not a stage to try again: nobody may act for somebody else.
        co_return fail(Errc::Forbidden, "Only the owner of the account may do this");
      }
    }
    if (context.user_id.empty()) co_return StageFailure{"M_FORBIDDEN", "There is no account to prove"};
    const auto proof = co_await accounts_.check_password(context.user_id, std::string(*password), context.address);
    if (proof) co_return StageResult{};
    if (proof.error().is(Errc::WrongCredentials)) co_return StageFailure{"M_FORBIDDEN", "Invalid password"};
    co_return std::unexpected(proof.error());
  }

  if (type == kStageRegistrationToken) {
    const auto token = get_string(auth, "token");
    if (!token) co_return StageFailure{"M_MISSING_PARAM", "token is missing"};
    const std::string kept(*token);
    CO_TRY(const bool valid, co_await registration_tokens_.valid(kept));
    auto* session = find(session_id);
    if (!valid || !session) co_return StageFailure{"M_UNAUTHORIZED", "The registration token is not valid"};
    if (!session->registration_token) {
      registration_tokens_.reserve(kept);
      session->registration_token = kept;
    }
    co_return StageResult{};
  }
  co_return StageFailure{"M_UNRECOGNIZED", "This stage is not known"};
}

UiaChallenge Uia::challenge(const std::vector<UiaFlow>& flows, const Session& session,
                            const StageResult& failure) const {
  json::array flow_list;
  for (const auto& f : flows) {
    flow_list.push_back(json::object{{"stages", json::array(f.stages.begin(), f.stages.end())}});
  }
  json::object body{{"flows", std::move(flow_list)},
                    {"params", json::object()},
                    {"session", session.id},
                    {"completed", json::array(session.completed.begin(), session.completed.end())}};
  if (failure) {
    body["errcode"] = failure->errcode;
    body["error"] = failure->error;
  }
  return {std::move(body)};
}

}  // namespace haechi::identity

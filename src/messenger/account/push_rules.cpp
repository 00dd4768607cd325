#include "messenger/account/push_rules.hpp"

#include "messenger/account/repo.hpp"
#include "messenger/kinds.hpp"

namespace haechi::messenger {

void PushRules::start() {
  journal_.subscribe([this](std::span<const journal::Entry> entries) {
    for (const auto& e : entries) {
      if (e.kind != kind::kPushRules || e.own) continue;
      if (auto* user = users_.find(e.subject)) unread_.settle(*user, e.pos);
    }
  });
}

Task<Result<>> PushRules::edit(std::string user, Edit change) {
  // What came until now is judged by the rules until now.
  CO_TRY(auto state, co_await users_.get(user));
  unread_.settle(*state);
  co_return co_await journal_.submit([=](journal::Tx& tx) -> Result<> {
    push::Ruleset rules;
    if (const auto stored = repo::push_rules(tx.sql(), user))
      rules = push::Ruleset::from_stored(must_parse_object(*stored));
    TRY_DO(change(rules));
    const auto text = to_text(rules.stored());
    const auto pos = tx.append(kind::kPushRules, user, "{\"rules\":" + text + '}');
    repo::put_push_rules(tx.sql(), user, text, pos);
    return {};
  });
}

}  // namespace haechi::messenger

#include "app/parts.hpp"
#include "app/server_name.hpp"
#include "app/user_office.hpp"
#include "base/metrics.hpp"
#include "base/random.hpp"
#include "identity/user_id.hpp"
#include "messenger/accounts/hooks.hpp"
#include "net/server.hpp"

namespace haechi::app {
namespace {

constexpr std::int64_t kPage = 500;

template <class T>
Task<void> keep(Task<T> task, std::optional<T>& out) {
  out.emplace(co_await std::move(task));
}

/// As much of a node as accounts need.
class StoreOffice final : public UserOffice {
 public:
  static Result<std::unique_ptr<UserOffice>> create(const Config& config) {
    auto o = std::make_unique<StoreOffice>();
    o->server_name_ = config.server_name;
    TRY(o->db_, open_store(config));
    const auto steps = all_migrations();
    TRY_DO(store::migrate(*o->db_, steps));
    TRY_DO(check_server_name(*o->db_, config.server_name));
    o->readers_ = std::make_unique<store::Readers>(o->loop_, *o->db_, 1, 100);
    TRY(o->journal_, journal::Journal::create(o->loop_, *o->db_, *o->readers_, o->clock_, o->metrics_, {}));
    o->identity_ = std::make_unique<identity::Identity>(o->loop_, *o->readers_, *o->journal_, o->random_,
                                                        identity_options(config));
    // What belongs to an account's own transaction. The rest (leaving rooms) the next start takes up.
    for (auto& hooks : messenger::account_hooks()) o->identity_->add_hooks(std::move(hooks));
    o->journal_->start();
    return o;
  }

  ~StoreOffice() override {
    if (identity_) run_void(close());
  }

  Result<std::string> add(NewUser user) override {
    identity::RegisterRequest request;
    request.localpart = std::move(user.name);
    request.password = std::move(user.password);
    request.admin = user.admin;
    request.login = identity::Login::No;
    TRY_DO(accounts().check_new_password(*request.password));
    TRY(auto made, run(accounts().register_user(std::move(request))));
    return std::move(made.user_id);
  }

  Result<> set_password(const std::string& name, const std::string& password) override {
    TRY(auto user_id, local_user(name));
    TRY_DO(accounts().check_new_password(password));
    return run(accounts().change_password(std::move(user_id), password, identity::LogoutOthers::Yes, {}));
  }

  Result<> deactivate(const std::string& name, EraseProfile erase) override {
    TRY(auto user_id, local_user(name));
    return run(accounts().deactivate(std::move(user_id),
                                     erase == EraseProfile::Yes ? identity::Erase::Yes : identity::Erase::No));
  }

  Result<std::string> make_token(NewToken wanted) override {
    identity::RegistrationTokens::Create create{.uses_allowed = wanted.uses_allowed, .expires_ms = wanted.expires_ms};
    TRY(auto made, run(identity_->registration_tokens().create(std::move(create))));
    return std::move(made.token);
  }

  Result<> list(const std::function<void(const ListedUser&)>& show) override {
    for (std::optional<std::int64_t> from = 0; from;) {
      TRY(const auto page, run(accounts().list(*from, kPage)));
      for (const auto& u : page.users) {
        show({.user_id = u.user_id,
              .admin = u.admin,
              .guest = u.kind == identity::UserKind::Guest,
              .deactivated = u.deactivated,
              .locked = u.locked,
              .suspended = u.suspended});
      }
      from = page.next;
    }
    return {};
  }

 private:
  identity::Accounts& accounts() { return identity_->accounts(); }

  Result<std::string> local_user(const std::string& name) const {
    auto id = identity::resolve_login_name(name, server_name_);
    if (!id) return fail(Errc::Invalid, name + " is not a user of " + server_name_);
    return *std::move(id);
  }

  /// Turns the loop until the task has ended.
  template <class T>
  T run(Task<T> task) {
    std::optional<T> out;
    run_void(keep(std::move(task), out));
    return *std::move(out);
  }
  void run_void(Task<void> task) {
    Scope scope;
    scope.spawn(stop_after(std::move(task)));
    loop_.run();
  }
  Task<void> stop_after(Task<void> task) {
    co_await std::move(task);
    loop_.stop();
  }
  Task<void> close() {
    co_await identity_->stop();
    co_await journal_->stop();
  }

  // In the order of need.
  std::string server_name_;
  SystemClock clock_;
  SystemRandom random_;
  Metrics metrics_;
  net::AsioLoop loop_{clock_};
  std::unique_ptr<store::Database> db_;
  std::unique_ptr<store::Readers> readers_;
  std::unique_ptr<journal::Journal> journal_;
  std::unique_ptr<identity::Identity> identity_;
};

}  // namespace

Result<std::unique_ptr<UserOffice>> open_store_office(const Config& config) { return StoreOffice::create(config); }

Result<std::unique_ptr<UserOffice>> open_user_office(const Flags& flags) {
  const auto config = load_config(flags);
  if (!config) {
    // A running node knows its own name, so nobody has to repeat it.
    if (flags.config || flags.server_name) return std::unexpected(config.error());
    auto office = open_node_office(flags.data.value_or(Config().data));
    if (!office) return std::unexpected(config.error());
    return office;
  }
  auto office = open_store_office(*config);
  if (office || !office.error().is(Errc::Conflict)) return office;
  auto through_node = open_node_office(config->data);
  // No word of a node: then what the store said is the better answer.
  if (!through_node) return office;
  return through_node;
}

}  // namespace haechi::app

#include "app/node.hpp"

#include <csignal>

#include "app/media_place.hpp"
#include "app/node_document.hpp"
#include "app/node_file.hpp"
#include "app/parts.hpp"
#include "app/server_name.hpp"
#include "app/settings.hpp"
#include "app/vault.hpp"
#include "base/log.hpp"
#include "base/metrics.hpp"
#include "base/random.hpp"
#include "blob/media.hpp"
#include "cluster/supervisor.hpp"
#include "identity/identity.hpp"
#include "journal/journal.hpp"
#include "messenger/module.hpp"
#include "net/client.hpp"
#include "net/operations.hpp"
#include "net/server.hpp"
#include "store/store.hpp"

namespace haechi::app {
namespace {

constexpr auto kDrain = std::chrono::seconds(10);
constexpr auto kLastWait = std::chrono::seconds(5);        ///< for handlers whose clients were cut off
constexpr int kDiverged = 75;                              ///< exit status: "try again"
constexpr auto kMediaPatience = std::chrono::seconds(20);  ///< while the database moves to another site
constexpr auto kFarewellEvery = std::chrono::seconds(1);
constexpr auto kHousekeepEvery = std::chrono::minutes(1);

messenger::RegistrationMode registration_mode(Registration r) {
  using M = messenger::RegistrationMode;
  switch (r) {
    case Registration::Closed: return M::Closed;
    case Registration::Token: return M::Token;
    case Registration::Open: return M::Open;
    case Registration::SharedSecret: return M::SharedSecret;
  }
  return M::Closed;
}

messenger::Options messenger_options(const Config& config, std::string admin_token) {
  const auto& r = config.rate_limits;
  messenger::Options o;
  o.server_name = config.server_name;
  o.default_room_version = config.default_room_version;
  o.presence = config.presence;
  o.limits = {.message = rate_of(config, r.messages),
              .join = rate_of(config, r.joins),
              .invite = rate_of(config, r.invites),
              .registration = rate_of(config, r.registrations),
              .media = rate_of(config, r.messages)};
  o.accounts = {.registration = registration_mode(config.registration.mode),
                .shared_secret = config.registration.shared_secret,
                .node_admin_token = std::move(admin_token),
                .guest_access = config.registration.guest_access,
                .client_base_url = config.well_known.client_base_url.empty() ? config.public_base_url
                                                                             : config.well_known.client_base_url,
                .support_page = config.well_known.support_page,
                .support_email = config.well_known.support_email,
                .support_matrix_id = config.well_known.support_matrix_id,
                .turn_uris = config.turn.uris,
                .turn_secret = config.turn.shared_secret,
                .turn_lifetime_s = config.turn.lifetime_s};
  o.media.allow_legacy_unauthenticated = config.media.allow_legacy_unauthenticated;
  o.preview = {.enabled = config.preview.enabled,
               .allowed_ranges = config.preview.allowed_ranges,
               .denied = config.preview.denied};
  o.push.allowed_ranges = config.push.allowed_ranges;
  return o;
}

net::ServerOptions server_options(const Config& config) {
  net::ServerOptions o;
  o.address = config.address;
  o.port = config.port;
  o.tls_certificate_file = config.tls.certificate;
  o.tls_key_file = config.tls.key;
  o.header_bytes_max = static_cast<std::size_t>(config.limits.header_bytes_max);
  o.body_bytes_max = static_cast<std::uint64_t>(config.limits.body_bytes_max);
  o.connections_max = static_cast<std::size_t>(config.limits.connections_max);
  o.connections_per_address_max = static_cast<std::size_t>(config.limits.connections_per_address);
  o.trust_forwarded_for = config.limits.trust_forwarded_for;
  o.access_log = config.log.access;
  return o;
}

}  // namespace

// Declared in the order of need: destruction goes the other way round.
struct Node::Parts {
  Config config;
  SystemClock clock;
  SystemRandom random;
  Metrics metrics;
  net::AsioLoop loop{clock};
  std::unique_ptr<store::Database> db;
  std::unique_ptr<store::Readers> readers;
  std::unique_ptr<journal::Journal> journal;
  std::unique_ptr<blob::FileSystem> files;
  std::unique_ptr<blob::Sessions> blob_sessions;
  std::unique_ptr<blob::BlobStore> blobs;
  std::unique_ptr<blob::Thumbnailer> thumbnailer;
  std::unique_ptr<blob::Media> media;
  std::unique_ptr<identity::Identity> identity;
  std::unique_ptr<net::Client> client;
  std::unique_ptr<messenger::Module> messenger;
  net::Router router;
  std::unique_ptr<net::Server> server;
  std::unique_ptr<cluster::HttpAsker> asker;  ///< these two where there are sites
  std::unique_ptr<cluster::Supervisor> supervisor;
  Vitals vitals{loop};
  WallMs started_ms = 0;
  std::string admin_token;
  TimerQueue::Timer housekeeping;
  TimerQueue::Timer farewell;
  Scope scope;
  Scope last_rites;  ///< shut_down() joins `scope`, so it runs in another
  bool stopping = false;
  bool all_ended = true;  ///< else something still runs that destruction would pull the ground from

  void housekeep() {
    loop.timers().arm(housekeeping, loop.now() + kHousekeepEvery, [this] {
      scope.spawn(clean());
      housekeep();
    });
  }
  Task<void> clean() {
    if (auto done = co_await media->housekeep(); !done)
      log::warn("media housekeeping", {{"error", done.error().message}});
  }

  Task<void> resume() { co_await messenger->resume(); }

  cluster::SiteState site_state() const { return supervisor ? supervisor->state() : cluster::SiteState::InService; }

  Result<> ready() const {
    if (stopping) return fail(Errc::Unavailable, "shutting down");
    if (!journal->healthy()) return fail(Errc::Unavailable, "the store refuses writes");
    if (journal->cut_off()) return fail(Errc::Unavailable, "cut off from the other sites");
    if (site_state() != cluster::SiteState::InService) {
      return fail(Errc::Unavailable, "this site is " + std::string(cluster::name_of(site_state())));
    }
    return {};
  }

  /// While the site is being left, whoever is connected is asked to go elsewhere, again and again.
  void send_away() {
    const bool away = site_state() != cluster::SiteState::InService;
    server->send_away(away);
    if (away) loop.timers().arm(farewell, loop.now() + kFarewellEvery, [this] { send_away(); });
    else loop.timers().disarm(farewell);
  }

  Task<Result<net::Response>> describe() const {
    const auto state = ready();
    auto document = node_document(config,
                                  {.id = journal->node_id(),
                                   .port = server->port(),
                                   .ready = state.has_value(),
                                   .why = state ? std::string() : state.error().message,
                                   .site_state = std::string(cluster::name_of(site_state())),
                                   .position = journal->position(),
                                   .connections = server->connections(),
                                   .queued = journal->queued(),
                                   .started_ms = started_ms,
                                   .now_ms = clock.wall_ms()},
                                  vitals);
    co_return net::Response{.headers = {{"Cache-Control", "no-store"}}, .body = std::move(document)};
  }

  void supervise() {
    if (config.sites.empty()) return;
    asker = std::make_unique<cluster::HttpAsker>(loop, config.tls.extra_ca);
    supervisor = std::make_unique<cluster::Supervisor>(
        loop, *asker, metrics, cluster::SupervisorOptions{.own = config.site, .sites = config.sites});
    supervisor->on_state([this](cluster::SiteState) { send_away(); });
  }

  Task<void> shut_down() {
    co_await server->drain(kDrain);
    client->stop();
    all_ended = co_await server->finish(kLastWait);
    loop.timers().disarm(housekeeping);
    loop.timers().disarm(farewell);
    vitals.stop();
    if (supervisor) {
      asker->stop();
      co_await supervisor->stop();
    }
    co_await messenger->stop();
    co_await identity->stop();
    co_await media->stop();
    co_await scope.join();
    co_await blobs->stop();
    co_await journal->stop();
    loop.stop();
  }
};

Node::Node(std::unique_ptr<Parts> parts) : parts_(std::move(parts)) {}
Node::~Node() = default;

Result<std::unique_ptr<Node>> Node::create(const Config& given) {
  auto p = std::make_unique<Parts>();
  p->config = given;
  const auto& config = p->config;
  p->admin_token = p->random.text(40);

  TRY(p->db, open_store(config));
  const auto steps = all_migrations();
  TRY_DO(store::migrate(*p->db, steps));
  TRY_DO(check_server_name(*p->db, config.server_name));
  TRY_DO(apply_stored_settings(*p->db, p->config));
  TRY_DO(resolve_secrets(*p->db, p->config));
  p->readers = std::make_unique<store::Readers>(p->loop, *p->db, 2, 100'000);
  journal::Options journal_options;
  journal_options.keys_remembered_min = static_cast<std::size_t>(config.retention.idempotency_keys);
  journal_options.node_id = p->random.text(16);
  journal_options.cut_off = [parts = p.get()] { return parts->supervisor && parts->supervisor->cut_off(); };
  journal_options.on_diverged = [] {
    // Started again by the init system, this node reads everything anew.
    log::error("stopping: this node followed changes that did not survive the loss of a database server");
    std::_Exit(kDiverged);
  };
  TRY(p->journal, journal::Journal::create(p->loop, *p->db, *p->readers, p->clock, p->metrics, journal_options));

  p->files = blob::posix_file_system();
  p->blob_sessions = std::make_unique<blob::Sessions>(*p->db, kMediaPatience);
  TRY(p->blobs, open_media_place(config, p->loop, p->clock, p->random, *p->files, *p->db, *p->blob_sessions));
  p->thumbnailer = std::make_unique<blob::Thumbnailer>(
      p->loop, blob::ThumbnailOptions{.pixels_max = static_cast<std::uint64_t>(config.media.thumbnail_pixels_max)});
  p->media = std::make_unique<blob::Media>(
      p->loop, *p->journal, *p->readers, *p->blobs, *p->thumbnailer, p->clock, p->random, p->metrics,
      blob::MediaOptions{.origin = config.server_name,
                         .upload_bytes_max = static_cast<std::uint64_t>(config.media.upload_bytes_max),
                         .user_bytes_max = static_cast<std::uint64_t>(config.media.user_bytes_max)});
  p->identity =
      std::make_unique<identity::Identity>(p->loop, *p->readers, *p->journal, p->random, identity_options(config));
  p->client = std::make_unique<net::Client>(p->loop, net::ClientOptions{.extra_ca_file = config.tls.extra_ca});
  p->messenger =
      std::make_unique<messenger::Module>(messenger::Module::Needs{p->loop, p->random, p->metrics, *p->readers,
                                                                   *p->journal, *p->identity, *p->media, *p->client},
                                          messenger_options(config, p->admin_token));
  TRY_DO(p->messenger->start(*p->db));

  net::add_operations_routes(p->router, p->metrics, [parts = p.get()] { return parts->ready(); });
  p->router.add(net::Method::Get, "/_haechi/v1/node", [parts = p.get()](net::Request&) { return parts->describe(); });
  p->messenger->routes(p->router);
  TRY(p->server, net::Server::create(p->loop, p->router, p->metrics, server_options(config)));
  p->supervise();
  return std::unique_ptr<Node>(new Node(std::move(p)));
}

int Node::run() {
  auto& p = *parts_;
  p.journal->start();
  p.housekeep();
  p.loop.on_signal({SIGTERM, SIGINT}, [&p](int) {
    if (std::exchange(p.stopping, true)) return;
    log::info("draining");
    p.last_rites.spawn(p.shut_down());
  });
  p.scope.spawn(p.resume());
  p.server->start();
  p.started_ms = p.clock.wall_ms();
  p.vitals.start();
  if (p.supervisor) p.supervisor->start();
  if (auto written = write_node_file(
          p.config.data,
          {.address = p.config.address, .port = p.server->port(), .tls = p.config.tls.on(), .token = p.admin_token});
      !written) {
    log::warn("haechi user will not reach this node", {{"error", written.error().message}});
  }
  log::info("listening", {{"address", p.config.address},
                          {"port", p.server->port()},
                          {"server_name", p.config.server_name},
                          {"base_url", p.config.base_url()},
                          {"version", HAECHI_VERSION}});
  p.loop.run();
  remove_node_file(p.config.data);
  if (!p.all_ended) {
    // Everything acknowledged is stored. Nobody waits for what is left, and it cannot be ended from here.
    log::warn("stopped with requests under way");
    std::_Exit(0);
  }
  log::info("stopped");
  return 0;
}

}  // namespace haechi::app

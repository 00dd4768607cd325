#include "messenger/module.hpp"

#include "messenger/account/account_data.hpp"
#include "messenger/account/api.hpp"
#include "messenger/account/push_rules.hpp"
#include "messenger/accounts/account_api.hpp"
#include "messenger/accounts/admin_api.hpp"
#include "messenger/accounts/departures.hpp"
#include "messenger/accounts/hooks.hpp"
#include "messenger/accounts/info_api.hpp"
#include "messenger/accounts/login_api.hpp"
#include "messenger/accounts/register_api.hpp"
#include "messenger/api/errors.hpp"
#include "messenger/api/gate.hpp"
#include "messenger/api/send.hpp"
#include "messenger/directory/api.hpp"
#include "messenger/directory/directory.hpp"
#include "messenger/ephemeral/api.hpp"
#include "messenger/history/api.hpp"
#include "messenger/history/search.hpp"
#include "messenger/keys/api.hpp"
#include "messenger/media/api.hpp"
#include "messenger/preview/previews.hpp"
#include "messenger/profile/api.hpp"
#include "messenger/profile/profiles.hpp"
#include "messenger/push/api.hpp"
#include "messenger/push/gateway.hpp"
#include "messenger/push/notifications.hpp"
#include "messenger/push/pushers.hpp"
#include "messenger/push/unread.hpp"
#include "messenger/relations/api.hpp"
#include "messenger/relations/relations.hpp"
#include "messenger/room/rooms.hpp"
#include "messenger/room/visibility.hpp"
#include "messenger/room/writer.hpp"
#include "messenger/rooms/api.hpp"
#include "messenger/rooms/members_api.hpp"
#include "messenger/rooms/reports_api.hpp"
#include "messenger/rooms/spaces_api.hpp"
#include "messenger/sliding/api.hpp"
#include "messenger/sliding/sliding.hpp"
#include "messenger/sync/api.hpp"
#include "messenger/user/users.hpp"

namespace haechi::messenger {

// In the order of need: destruction goes the other way round.
struct Module::Parts {
  Parts(Needs n, Options o);

  Options options;
  Needs needs;
  Gate gate;

  Rooms rooms;
  Users users;
  Writer writer;
  Visibility visibility;
  UnreadCounter unread;

  Profiles profiles;
  Directory directory;
  DeviceKeys device_keys;
  CrossSigning cross_signing;
  ToDevice to_device;
  KeyBackup key_backup;
  AccountData account_data;
  PushRules push_rules;
  Pushers pushers;
  PushGateway push_gateway;
  Notifications notifications;
  Receipts receipts;
  Typing typing;
  Presence presence;
  Relations relations;
  Filters filters;
  SyncSources sync_sources;
  Sync sync;
  SlidingSync sliding_sync;
  Members members;
  RoomCreator creator;
  Upgrades upgrades;
  Spaces spaces;
  Departures departures;
  Previews previews;

  AccountApi account_api;
  DevicesApi devices_api;
  AdminApi admin_api;
  InfoApi info_api;
  LoginApi login_api;
  RegisterApi register_api;
  ProfileApi profile_api;
  UserDirectoryApi user_directory_api;
  SendApi send_api;
  SyncApi sync_api;
  SlidingSyncApi sliding_sync_api;
  AccountDataApi account_data_api;
  PushApi push_api;
  EphemeralApi ephemeral_api;
  HistoryApi history_api;
  SearchApi search_api;
  RelationsApi relations_api;
  KeysApi keys_api;
  ToDeviceApi to_device_api;
  KeyBackupApi key_backup_api;
  RoomsApi rooms_api;
  MembersApi members_api;
  SpacesApi spaces_api;
  ReportsApi reports_api;
  DirectoryApi directory_api;
  MediaApi media_api;
};

Module::Parts::Parts(Needs n, Options o)
    : options(std::move(o)),
      needs(n),
      gate(n.identity.sessions(), n.journal, n.loop.clock(), options.limits),
      rooms(n.readers),
      users(n.loop, n.readers, rooms),
      writer(rooms, n.journal, n.loop.clock()),
      visibility(rooms),
      unread(rooms),
      profiles(n.loop, n.readers, n.journal, n.identity.accounts(), users, writer),
      directory(rooms, writer, n.readers, n.journal, n.loop.clock(), options.server_name),
      device_keys(n.readers, n.journal, rooms, users),
      cross_signing(n.journal),
      to_device(n.readers, n.journal),
      key_backup(n.readers, n.journal),
      account_data(n.readers, n.journal),
      push_rules(n.journal, users, unread),
      pushers(n.journal),
      push_gateway(n.loop, rooms, users, unread, pushers, n.client, n.metrics, options.push),
      notifications(rooms, users, unread, visibility),
      receipts(rooms, users, n.journal),
      typing(n.loop, rooms, users, n.journal),
      presence(n.loop, rooms, users, n.journal, options.presence ? Presence::Switch::On : Presence::Switch::Off),
      relations(n.readers, rooms, users, visibility, n.loop.clock()),
      filters(n.readers, n.journal),
      sync_sources{.to_device = to_device,
                   .device_lists = device_keys,
                   .key_counts = device_keys,
                   .account_data = account_data,
                   .unread = unread,
                   .presence = presence,
                   .bundles = relations},
      sync(n.loop, rooms, users, visibility, n.journal, sync_sources),
      sliding_sync(n.loop, rooms, users, visibility, n.journal, sync_sources),
      members(rooms, writer, profiles, n.readers, n.journal),
      creator(writer, directory, profiles, n.random, n.loop.clock(), options.server_name, options.default_room_version),
      upgrades(rooms, writer, directory, profiles, creator),
      spaces(rooms),
      departures(n.loop, n.identity.accounts(), users, rooms, writer),
      previews(n.loop, n.client, n.media, options.preview),
      account_api(gate, n.identity, options),
      devices_api(gate, n.identity.sessions(), n.identity.uia()),
      admin_api(gate, n.identity, options),
      info_api(gate, n.loop.clock(), options),
      login_api(gate, n.identity.accounts(), n.identity.sessions(), n.identity.uia(), options),
      register_api(gate, n.identity, options),
      profile_api(gate, profiles),
      user_directory_api(gate, n.readers, n.identity.accounts()),
      send_api(gate, rooms, writer, members, relations, directory, n.journal),
      sync_api(gate, sync, filters),
      sliding_sync_api(gate, sliding_sync),
      account_data_api(gate, account_data, push_rules),
      push_api(gate, n.loop.clock(), push_rules, pushers, users, notifications),
      ephemeral_api(gate, rooms, users, account_data, receipts, typing, presence),
      history_api(gate, rooms, users, visibility, relations, n.loop.clock()),
      search_api(gate, rooms, users, visibility, relations, n.readers, n.loop.clock()),
      relations_api(gate, rooms, users, visibility, relations, n.readers, n.loop.clock()),
      keys_api(gate, n.journal, users, device_keys, cross_signing, n.identity.uia()),
      to_device_api(gate, to_device),
      key_backup_api(gate, key_backup),
      rooms_api(gate, creator, upgrades),
      members_api(gate, rooms, directory, members),
      spaces_api(gate, directory, spaces),
      reports_api(gate, rooms, visibility, n.identity.accounts(), n.journal),
      directory_api(gate, rooms, directory),
      media_api(gate, n.media, previews, options.media, options.preview.enabled) {}

Module::Module(Needs needs, Options options) : parts_(std::make_unique<Parts>(needs, std::move(options))) {}
Module::~Module() = default;

Result<> Module::start(store::Database& db) {
  auto& p = *parts_;
  // The feed is followed in this order: what others look up must be true first.
  TRY_DO(p.rooms.start(db, p.needs.journal));
  TRY_DO(p.directory.start(db));
  p.device_keys.start();
  p.profiles.start();
  p.push_rules.start();
  p.receipts.start();
  p.typing.start();
  TRY_DO(p.presence.start(db));
  TRY_DO(p.pushers.start(db));
  p.rooms.observe(p.relations);
  // Wakes the waiting syncs: everything above has followed by then.
  p.users.start(p.needs.journal);
  p.push_gateway.start(p.needs.journal);
  for (auto& hooks : account_hooks()) p.needs.identity.add_hooks(std::move(hooks));
  p.needs.identity.add_hooks(p.departures.hooks());
  return {};
}

void Module::routes(net::Router& router) {
  auto& p = *parts_;
  router.render_errors("/_matrix", render_matrix_error);
  router.render_errors("/.well-known/matrix", render_matrix_error);
  router.render_errors("/_synapse", render_matrix_error);
  p.account_api.routes(router);
  p.devices_api.routes(router);
  p.admin_api.routes(router);
  p.info_api.routes(router);
  p.login_api.routes(router);
  p.register_api.routes(router);
  p.profile_api.routes(router);
  p.user_directory_api.routes(router);
  p.send_api.routes(router);
  p.sync_api.routes(router);
  p.sliding_sync_api.routes(router);
  p.account_data_api.routes(router);
  p.push_api.routes(router);
  p.ephemeral_api.routes(router);
  p.history_api.routes(router);
  p.search_api.routes(router);
  p.relations_api.routes(router);
  p.keys_api.routes(router);
  p.to_device_api.routes(router);
  p.key_backup_api.routes(router);
  p.rooms_api.routes(router);
  p.members_api.routes(router);
  p.spaces_api.routes(router);
  p.reports_api.routes(router);
  p.directory_api.routes(router);
  p.media_api.routes(router);
  // Clients from before 2021 know every path under this name.
  router.alias("/_matrix/client/r0", "/_matrix/client/v3");
}

Task<void> Module::resume() { co_await parts_->departures.resume(); }

Task<void> Module::stop() {
  co_await parts_->push_gateway.stop();
  co_await parts_->departures.stop();
  co_await parts_->users.stop();
  co_await parts_->profiles.stop();
  co_await parts_->to_device.stop();
}

}  // namespace haechi::messenger

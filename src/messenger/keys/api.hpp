#pragma once
// The HTTP side of end-to-end encryption.

#include "identity/uia.hpp"
#include "messenger/api/gate.hpp"
#include "messenger/keys/cross_signing.hpp"
#include "messenger/keys/device_keys.hpp"
#include "messenger/keys/key_backup.hpp"
#include "messenger/keys/to_device.hpp"
#include "net/router.hpp"

namespace haechi::messenger {

class KeysApi {
 public:
  KeysApi(Gate& gate, journal::Journal& journal, Users& users, DeviceKeys& device_keys, CrossSigning& cross_signing,
          identity::Uia& uia)
      : gate_(gate),
        journal_(journal),
        users_(users),
        device_keys_(device_keys),
        cross_signing_(cross_signing),
        uia_(uia) {}
  void routes(net::Router& router);

 private:
  Task<Result<net::Response>> upload(net::Request& req);
  Task<Result<net::Response>> query(net::Request& req);
  Task<Result<net::Response>> claim(net::Request& req);
  Task<Result<net::Response>> changes(net::Request& req);
  Task<Result<net::Response>> upload_cross_signing(net::Request& req);
  Task<Result<net::Response>> upload_signatures(net::Request& req);

  Gate& gate_;
  journal::Journal& journal_;
  Users& users_;
  DeviceKeys& device_keys_;
  CrossSigning& cross_signing_;
  identity::Uia& uia_;
};

class ToDeviceApi {
 public:
  ToDeviceApi(Gate& gate, ToDevice& to_device) : gate_(gate), to_device_(to_device) {}
  void routes(net::Router& router);

 private:
  Task<Result<net::Response>> send(net::Request& req, std::string type, std::string txn_id);

  Gate& gate_;
  ToDevice& to_device_;
};

class KeyBackupApi {
 public:
  KeyBackupApi(Gate& gate, KeyBackup& backup) : gate_(gate), backup_(backup) {}
  void routes(net::Router& router);

 private:
  using Reply = Task<Result<net::Response>>;
  Reply create(net::Request& req);
  Reply info(net::Request& req, std::optional<std::string> version);
  Reply update(net::Request& req, std::string version);
  Reply remove(net::Request& req, std::string version);
  Reply put(net::Request& req, BackupScope scope);
  Reply get(net::Request& req, BackupScope scope);
  Reply erase(net::Request& req, BackupScope scope);

  Gate& gate_;
  KeyBackup& backup_;
};

}  // namespace haechi::messenger

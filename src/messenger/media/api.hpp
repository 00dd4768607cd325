#pragma once
#include "blob/media.hpp"
#include "messenger/api/gate.hpp"
#include "messenger/options.hpp"
#include "messenger/preview/previews.hpp"
#include "net/router.hpp"

namespace haechi::messenger {

/// The content repository: uploads, downloads with byte ranges, thumbnails, URL previews.
/// https://spec.matrix.org/v1.19/client-server-api/#content-repository
class MediaApi {
 public:
  MediaApi(Gate& gate, blob::Media& media, Previews& previews, Options::Media options, bool previews_on)
      : gate_(gate), media_(media), previews_(previews), options_(options), previews_on_(previews_on) {}
  void routes(net::Router& router);

 private:
  using Answer = Task<Result<net::Response>>;
  enum class Access { Token, Anybody };
  struct Asked {
    std::string server, id, name;
  };
  Answer upload(net::Request& req);
  Answer upload_to(net::Request& req, std::string server, std::string id);
  Answer create(net::Request& req);
  Answer config(net::Request& req);
  Answer preview(net::Request& req);
  Answer download(net::Request& req, Access access, Asked asked);
  Answer thumbnail(net::Request& req, Access access, Asked asked);
  Task<Result<>> admit(net::Request& req, Access access);
  Result<blob::MediaId> id_of(const Asked& asked) const;
  void reading_routes(net::Router& router, const std::string& prefix, Access access);

  Gate& gate_;
  blob::Media& media_;
  Previews& previews_;
  Options::Media options_;
  bool previews_on_;
};

}  // namespace haechi::messenger

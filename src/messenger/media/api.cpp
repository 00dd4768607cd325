#include "messenger/media/api.hpp"

#include <algorithm>

#include "blob/serving.hpp"
#include "messenger/errc.hpp"

namespace haechi::messenger {
namespace {

constexpr std::int64_t kWaitDefaultMs = 20'000;
constexpr std::int64_t kWaitMaxMs = 60'000;
constexpr std::uint32_t kThumbnailSideMax = 4096;

/// A request body as the blob store reads it.
class BodySource final : public blob::ByteSource {
 public:
  explicit BodySource(net::BodyReader& body) : body_(body) {}
  Task<Result<std::string_view>> read() override { return body_.read(); }
  std::optional<std::uint64_t> size_hint() const override { return body_.size_hint(); }

 private:
  net::BodyReader& body_;
};

blob::UploadInfo info_of(const net::Request& req) {
  return {.name = req.param("filename").value_or(""), .content_type = std::string(req.header("content-type"))};
}

Duration wait_of(const net::Request& req) {
  const auto ms = req.param_int("timeout_ms").value_or(kWaitDefaultMs);
  return std::chrono::milliseconds(std::clamp<std::int64_t>(ms, 0, kWaitMaxMs));
}

/// Everything that is served here was uploaded by somebody: it must not act.
void guard(net::Response& r) {
  r.headers.emplace_back("Content-Security-Policy", blob::kContentSecurityPolicy);
  r.headers.emplace_back("Cross-Origin-Resource-Policy", blob::kCrossOriginResourcePolicy);
}

Task<Result<net::Response>> serve(const net::Request& req, blob::Media& media, blob::Opened opened, std::string name) {
  const auto etag = blob::etag_of(opened.sha256);
  net::Response r;
  r.content_type = {};
  guard(r);
  r.headers.emplace_back("ETag", etag);
  // Content never changes under its id.
  r.headers.emplace_back("Cache-Control", "private, max-age=31536000, immutable");
  if (blob::etag_matches(req.header("if-none-match"), etag)) {
    r.status = 304;
    co_return r;
  }
  auto shown = blob::serving_headers(opened.content_type, name);
  r.headers.emplace_back("Content-Type", std::move(shown.content_type));
  r.headers.emplace_back("Content-Disposition", std::move(shown.content_disposition));
  r.headers.emplace_back("Accept-Ranges", "bytes");
  const std::uint64_t size = opened.bytes;
  const auto range = blob::if_range_holds(req.header("if-range"), etag)
                         ? blob::parse_range(req.header("range"), size)
                         : blob::RangeAnswer{.kind = blob::RangeKind::None, .range = {0, size}};
  if (range.kind == blob::RangeKind::Unsatisfiable) {
    r.status = 416;
    r.headers.emplace_back("Content-Range", blob::unsatisfied_range(size));
    co_return r;
  }
  if (range.kind == blob::RangeKind::Partial) {
    r.status = 206;
    r.headers.emplace_back("Content-Range", range.range.content_range(size));
  }
  CO_TRY(const auto file,
         co_await media.file(std::move(opened), {.offset = range.range.offset, .length = range.range.length}));
  const int fd = file->duplicate();
  if (fd < 0) co_return fail(haechi::Errc::Overloaded, "Too many files are open");
  r.body = net::FileRange{std::make_shared<const net::File>(fd, size), range.range.offset, range.range.length};
  co_return r;
}

}  // namespace

void MediaApi::reading_routes(net::Router& router, const std::string& prefix, Access access) {
  using net::Method;
  using S = std::string;
  router.on<S, S>(Method::Get, prefix + "/download/{serverName}/{mediaId}",
                  [this, access](net::Request& req, S server, S id) {
                    return download(req, access, {std::move(server), std::move(id), {}});
                  });
  router.on<S, S, S>(Method::Get, prefix + "/download/{serverName}/{mediaId}/{fileName}",
                     [this, access](net::Request& req, S server, S id, S name) {
                       return download(req, access, {std::move(server), std::move(id), std::move(name)});
                     });
  router.on<S, S>(Method::Get, prefix + "/thumbnail/{serverName}/{mediaId}",
                  [this, access](net::Request& req, S server, S id) {
                    return thumbnail(req, access, {std::move(server), std::move(id), {}});
                  });
}

void MediaApi::routes(net::Router& router) {
  using net::Method;
  using S = std::string;
  const net::RouteOptions streamed{.body = net::Body::Stream, .body_bytes_max = media_.options().upload_bytes_max};
  router.add(Method::Post, "/_matrix/media/v3/upload", [this](net::Request& req) { return upload(req); }, streamed);
  router.on<S, S>(
      Method::Put, "/_matrix/media/v3/upload/{serverName}/{mediaId}",
      [this](net::Request& req, S server, S id) { return upload_to(req, std::move(server), std::move(id)); }, streamed);
  router.add(Method::Post, "/_matrix/media/v1/create", [this](net::Request& req) { return create(req); });
  for (const auto* path : {"/_matrix/client/v1/media/config", "/_matrix/media/v3/config"}) {
    router.add(Method::Get, path, [this](net::Request& req) { return config(req); });
  }
  if (previews_on_) {
    for (const auto* path : {"/_matrix/client/v1/media/preview_url", "/_matrix/media/v3/preview_url"}) {
      router.add(Method::Get, path, [this](net::Request& req) { return preview(req); });
    }
  }
  reading_routes(router, "/_matrix/client/v1/media", Access::Token);
  if (options_.allow_legacy_unauthenticated) reading_routes(router, "/_matrix/media/v3", Access::Anybody);
  for (const auto* old : {"/_matrix/media/r0", "/_matrix/media/v1"}) router.alias(old, "/_matrix/media/v3");
}

MediaApi::Answer MediaApi::upload(net::Request& req) {
  CO_TRY(const auto session, co_await gate_.require_active(req));
  CO_TRY_DO(gate_.media.take(session->user_id));
  BodySource source(*req.stream);
  CO_TRY(const auto id, co_await media_.upload(session->user_id, info_of(req), source));
  co_return reply({{"content_uri", id.uri()}});
}

MediaApi::Answer MediaApi::upload_to(net::Request& req, std::string server, std::string id) {
  CO_TRY(const auto session, co_await gate_.require_active(req));
  CO_TRY_DO(gate_.media.take(session->user_id));
  const Asked asked{std::move(server), std::move(id), {}};
  CO_TRY(auto media_id, id_of(asked));
  BodySource source(*req.stream);
  CO_TRY_DO(co_await media_.upload_to(session->user_id, std::move(media_id), info_of(req), source));
  co_return net::Response::empty_object();
}

MediaApi::Answer MediaApi::create(net::Request& req) {
  CO_TRY(const auto session, co_await gate_.require_active(req));
  CO_TRY_DO(gate_.media.take(session->user_id));
  CO_TRY(const auto reserved, co_await media_.create_pending(session->user_id));
  co_return reply({{"content_uri", reserved.id.uri()}, {"unused_expires_at", reserved.unused_expires_at}});
}

MediaApi::Answer MediaApi::config(net::Request& req) {
  CO_TRY_DO(co_await gate_.require(req, Guests::Allowed));
  co_return reply({{"m.upload.size", media_.options().upload_bytes_max}});
}

MediaApi::Answer MediaApi::preview(net::Request& req) {
  CO_TRY(const auto session, co_await gate_.require(req));
  const auto url = req.param("url");
  if (!url) co_return fail(Errc::MissingParam, "Missing: url");
  CO_TRY(auto body, co_await previews_.of(session->user_id, *url));
  co_return reply_text(std::move(body));
}

Task<Result<>> MediaApi::admit(net::Request& req, Access access) {
  if (access == Access::Token) CO_TRY_DO(co_await gate_.require(req, Guests::Allowed));
  co_return {};
}

Result<blob::MediaId> MediaApi::id_of(const Asked& asked) const {
  if (asked.server != media_.options().origin || !blob::is_valid_media_id(asked.id)) {
    return fail(Errc::NotFound, "No such media");
  }
  return blob::MediaId{asked.server, asked.id};
}

MediaApi::Answer MediaApi::download(net::Request& req, Access access, Asked asked) {
  CO_TRY_DO(co_await admit(req, access));
  CO_TRY(auto id, id_of(asked));
  CO_TRY(auto opened, co_await media_.open(std::move(id), wait_of(req), req.canceller));
  auto name = asked.name.empty() ? opened.record.upload_name : std::move(asked.name);
  co_return co_await serve(req, media_, std::move(opened), std::move(name));
}

MediaApi::Answer MediaApi::thumbnail(net::Request& req, Access access, Asked asked) {
  CO_TRY_DO(co_await admit(req, access));
  CO_TRY(auto id, id_of(asked));
  blob::ThumbnailSpec spec;
  for (const auto& [name, side] : {std::pair{"width", &spec.width}, std::pair{"height", &spec.height}}) {
    const auto text = req.param(name);
    if (!text) co_return fail(Errc::MissingParam, std::string("Missing: ") + name);
    const auto value = parse_int(*text);
    if (!value || *value <= 0) co_return fail(Errc::InvalidParam, std::string(name) + " must be a positive number");
    *side = static_cast<std::uint32_t>(std::min<std::int64_t>(*value, kThumbnailSideMax));
  }
  if (const auto method = req.param("method")) {
    const auto parsed = blob::parse_method(*method);
    if (!parsed) co_return fail(Errc::InvalidParam, "method is crop or scale");
    spec.method = *parsed;
  }
  if (req.param("animated") == "true") spec.animated = blob::Animated::Yes;
  CO_TRY(auto opened, co_await media_.thumbnail(std::move(id), spec, wait_of(req), req.canceller));
  co_return co_await serve(req, media_, std::move(opened), {});
}

}  // namespace haechi::messenger

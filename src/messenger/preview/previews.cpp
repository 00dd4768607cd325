#include "messenger/preview/previews.hpp"

#include <boost/url/parse.hpp>
#include <boost/url/url_view.hpp>

#include "messenger/errc.hpp"
#include "messenger/preview/html.hpp"
#include "messenger/preview/image_size.hpp"

namespace haechi::messenger {
namespace {

constexpr std::size_t kKeptMax = 2000;
constexpr auto kKeptFor = std::chrono::hours(1);
constexpr auto kFetchMax = std::chrono::seconds(15);
constexpr std::uint64_t kImageBytesMax = 10ull << 20;

bool is_image(std::string_view type) { return type.starts_with("image/") && !type.starts_with("image/svg"); }

/// What the picture itself says goes before what the page says about it.
void put_size(json::object& page, std::string_view image) {
  const auto size = preview::image_size(image);
  if (!size) return;
  page["og:image:width"] = size->width;
  page["og:image:height"] = size->height;
}

}  // namespace

Previews::Previews(Loop& loop, net::Client& client, blob::Media& media, Options::Preview options)
    : loop_(loop), client_(client), media_(media), options_(std::move(options)), parser_(loop, "preview", 1, 64) {}

Result<> Previews::allowed(std::string_view url) const {
  const auto parsed = boost::urls::parse_uri(url);
  if (!parsed || url.size() > 4096) return fail(Errc::InvalidParam, "url is not a URL");
  const std::string scheme = to_lower_ascii(std::string_view(parsed->scheme().data(), parsed->scheme().size()));
  if (scheme != "http" && scheme != "https") return fail(Errc::InvalidParam, "Only http and https URLs have previews");
  const std::string host = parsed->host();
  for (const auto& pattern : options_.denied) {
    if (glob_match(pattern, host)) return fail(Errc::Forbidden, "Previews of this host are switched off");
  }
  return {};
}

net::ClientRequest Previews::request(std::string url) const {
  net::ClientRequest r;
  r.url = std::move(url);
  r.headers = {{"Accept", "text/html,application/xhtml+xml,image/*;q=0.8"}, {"Accept-Language", "en;q=0.8, *;q=0.5"}};
  r.response_bytes_max = preview::kHtmlBytesMax;
  r.timeout = kFetchMax;
  r.redirects_max = 5;
  r.allowed_private_ranges = options_.allowed_ranges;
  return r;
}

void Previews::remember(std::string url, std::string body) {
  recent_.push_front({url, std::move(body), loop_.now() + kKeptFor});
  by_url_[std::move(url)] = recent_.begin();
  if (recent_.size() > kKeptMax) {
    by_url_.erase(recent_.back().url);
    recent_.pop_back();
  }
}

Task<Result<std::string>> Previews::of(std::string user, std::string url) {
  CO_TRY_DO(allowed(url));
  if (const auto it = by_url_.find(url); it != by_url_.end()) {
    if (it->second->until > loop_.now()) co_return it->second->body;
    recent_.erase(it->second);
    by_url_.erase(it);
  }
  if (const auto it = fetching_.find(url); it != fetching_.end()) {
    // Somebody fetches it already: one request for all.
    Waiter turn(loop_);
    it->second.push_back(&turn);
    const auto why = co_await turn.wait(loop_.now() + 3 * kFetchMax);
    if (why == Wake::Deadline) {
      if (const auto still = fetching_.find(url); still != fetching_.end()) std::erase(still->second, &turn);
    }
    if (const auto done = by_url_.find(url); done != by_url_.end()) co_return done->second->body;
    co_return fail(Errc::Upstream, "The page could not be fetched");
  }
  fetching_.emplace(url, std::vector<Waiter*>{});
  auto body = co_await fetch(std::move(user), url);
  if (body) remember(url, *body);
  if (auto node = fetching_.extract(url)) {
    for (auto* w : node.mapped()) w->notify();
  }
  co_return body;
}

Task<Result<std::string>> Previews::keep_image(std::string user, net::ClientResponse image) {
  blob::StringSource source(std::move(image.body));
  CO_TRY(const auto id,
         co_await media_.upload(std::move(user), {.name = {}, .content_type = image.content_type}, source));
  co_return id.uri();
}

Task<Result<>> Previews::attach_image(std::string user, std::string url, json::object& page) {
  CO_TRY_DO(allowed(url));
  auto want = request(std::move(url));
  want.response_bytes_max = kImageBytesMax;
  CO_TRY(auto image, co_await client_.send(std::move(want)));
  if (image.status != 200 || !is_image(image.content_type)) co_return fail(Errc::Upstream, "not an image");
  const auto bytes = image.body.size();
  const auto type = image.content_type;
  put_size(page, image.body);
  CO_TRY(const auto uri, co_await keep_image(std::move(user), std::move(image)));
  page["og:image"] = uri;
  page["og:image:type"] = type;
  page["matrix:image:size"] = bytes;
  co_return {};
}

Task<Result<std::string>> Previews::fetch(std::string user, std::string url) {
  auto want = request(url);
  want.response_bytes_max = kImageBytesMax;
  auto got = co_await client_.send(std::move(want));
  if (!got) {
    if (got.error().is(haechi::Errc::Invalid)) co_return fail(Errc::Forbidden, got.error().message);
    co_return fail(Errc::Upstream, "The page could not be fetched: " + got.error().message);
  }
  if (got->status < 200 || got->status > 299) {
    co_return fail(Errc::Upstream, "The page answers " + std::to_string(got->status));
  }
  if (is_image(got->content_type)) {
    json::object page{{"og:image:type", got->content_type}, {"matrix:image:size", got->body.size()}};
    put_size(page, got->body);
    CO_TRY(const auto uri, co_await keep_image(std::move(user), *std::move(got)));
    page["og:image"] = uri;
    co_return to_text(page);
  }
  if (got->content_type.find("html") == std::string::npos) co_return std::string("{}");
  auto parsed = co_await parser_.run([&]() -> Result<json::object> {
    return preview::open_graph({.bytes = got->body, .url = got->final_url, .content_type = got->content_type});
  });
  if (!parsed) co_return std::unexpected(std::move(parsed.error()));
  if (const auto image = get_string(*parsed, "og:image")) {
    const std::string where(*image);
    // A page without its picture is still a preview; the address alone would be a third-party request.
    if (!co_await attach_image(std::move(user), where, *parsed)) parsed->erase("og:image");
  }
  co_return to_text(*parsed);
}

}  // namespace haechi::messenger

#include "blob/s3_keeper.hpp"

#include <curl/curl.h>
#include <openssl/ssl.h>

#include <algorithm>
#include <chrono>
#include <thread>

#include "base/hash.hpp"
#include "base/text.hpp"
#include "blob/types.hpp"

namespace haechi::blob {
namespace {

constexpr std::size_t kErrorBytesMax = 16 * 1024;
constexpr std::size_t kPartsMax = 10'000;
constexpr auto kPauseMax = std::chrono::seconds(2);

long milliseconds(Duration d) { return std::chrono::duration_cast<std::chrono::milliseconds>(d).count(); }

/// What stands between <tag> and </tag>, from `at` on; moves `at` behind it.
std::optional<std::string> element(std::string_view xml, std::string_view tag, std::size_t& at) {
  const auto open = '<' + std::string(tag) + '>';
  const auto close = "</" + std::string(tag) + '>';
  const auto from = xml.find(open, at);
  if (from == std::string_view::npos) return std::nullopt;
  const auto to = xml.find(close, from);
  if (to == std::string_view::npos) return std::nullopt;
  at = to + close.size();
  return std::string(xml.substr(from + open.size(), to - from - open.size()));
}

/// Entity tags and upload ids are plain but for quotes.
std::string unescaped(std::string text) {
  for (const auto& [from, to] : {std::pair<std::string_view, char>{"&quot;", '"'}, {"&#34;", '"'}, {"&amp;", '&'}}) {
    for (auto at = text.find(from); at != std::string::npos; at = text.find(from, at + 1)) {
      text.replace(at, from.size(), 1, to);
    }
  }
  return text;
}

}  // namespace

struct S3Keeper::Call {
  std::string_view method;
  std::string key;    ///< empty: of the bucket itself
  std::string query;  ///< encoded and in order of names, with "=" behind each: it is signed as it stands
  std::string_view body;
  std::string range;
  const Sink* sink = nullptr;  ///< takes the body of a good answer
};

struct S3Keeper::Reply {
  long status = 0;
  std::string body;
  std::string etag;
};

class S3Keeper::Handle {
 public:
  Handle() : curl_(curl_easy_init()) {
    if (!curl_) throw std::bad_alloc();
  }
  ~Handle() { curl_easy_cleanup(curl_); }
  Handle(const Handle&) = delete;
  Handle& operator=(const Handle&) = delete;
  CURL* get() const { return curl_; }

 private:
  CURL* curl_;
};

namespace {

/// What libcurl's callbacks work on.
struct Transfer {
  CURL* curl = nullptr;
  std::string_view to_send;
  std::size_t sent = 0;
  const Keeper::Sink* sink = nullptr;
  std::string body;
  std::string etag;
  Result<> sunk;
};

std::size_t send_some(char* into, std::size_t size, std::size_t count, void* transfer) {
  auto& t = *static_cast<Transfer*>(transfer);
  const auto n = std::min(size * count, t.to_send.size() - t.sent);
  std::copy_n(t.to_send.data() + t.sent, n, into);
  t.sent += n;
  return n;
}

int send_again(void* transfer, curl_off_t offset, int origin) {
  if (origin != SEEK_SET) return CURL_SEEKFUNC_CANTSEEK;
  static_cast<Transfer*>(transfer)->sent = static_cast<std::size_t>(offset);
  return CURL_SEEKFUNC_OK;
}

std::size_t receive_some(char* from, std::size_t size, std::size_t count, void* transfer) {
  auto& t = *static_cast<Transfer*>(transfer);
  const std::string_view bytes(from, size * count);
  long status = 0;
  curl_easy_getinfo(t.curl, CURLINFO_RESPONSE_CODE, &status);
  if (t.sink && status / 100 == 2) {
    t.sunk = (*t.sink)(bytes);
    return t.sunk ? bytes.size() : 0;
  }
  t.body.append(bytes.substr(0, kErrorBytesMax - std::min(kErrorBytesMax, t.body.size())));
  return bytes.size();
}

std::size_t receive_header(char* from, std::size_t size, std::size_t count, void* transfer) {
  const std::string_view line(from, size * count);
  const auto colon = line.find(':');
  if (colon != std::string_view::npos && iequals_ascii(line.substr(0, colon), "etag")) {
    static_cast<Transfer*>(transfer)->etag = std::string(trim(line.substr(colon + 1)));
  }
  return line.size();
}

CURLcode trust_also(CURL*, void* context, void* file) {
  const auto& path = *static_cast<const std::string*>(file);
  return SSL_CTX_load_verify_locations(static_cast<SSL_CTX*>(context), path.c_str(), nullptr) == 1
             ? CURLE_OK
             : CURLE_SSL_CACERT_BADFILE;
}

struct FreeList {
  void operator()(curl_slist* list) const { curl_slist_free_all(list); }
};

}  // namespace

S3Keeper::S3Keeper(S3Options options) : options_(std::move(options)) {
  static std::once_flag once;
  std::call_once(once, [] { curl_global_init(CURL_GLOBAL_DEFAULT); });
}

S3Keeper::~S3Keeper() = default;

std::string S3Keeper::key_of(const std::string& name) const { return options_.prefix + name.substr(0, 2) + '/' + name; }

/// One request, one answer. Errors are those of the way; a status of any kind is an answer.
Result<S3Keeper::Reply> S3Keeper::once(const Call& request) {
  std::unique_ptr<Handle> handle;
  {
    const std::lock_guard lock(mutex_);
    if (!free_.empty()) {
      handle = std::move(free_.back());
      free_.pop_back();
    }
  }
  if (!handle) handle = std::make_unique<Handle>();
  CURL* const c = handle->get();
  curl_easy_reset(c);  // keeps the connections

  Transfer t{.curl = c, .to_send = request.body, .sink = request.sink};
  const auto url = options_.endpoint + '/' + options_.bucket + (request.key.empty() ? "" : "/" + request.key) +
                   (request.query.empty() ? "" : "?" + request.query);
  curl_easy_setopt(c, CURLOPT_URL, url.c_str());
  curl_easy_setopt(c, CURLOPT_PROTOCOLS_STR, "http,https");
  curl_easy_setopt(c, CURLOPT_NOSIGNAL, 1L);
  curl_easy_setopt(c, CURLOPT_CONNECTTIMEOUT_MS, milliseconds(options_.connect_max));
  curl_easy_setopt(c, CURLOPT_LOW_SPEED_LIMIT, 1L);
  curl_easy_setopt(c, CURLOPT_LOW_SPEED_TIME, std::max(1L, milliseconds(options_.silence_max) / 1000));
  if (!options_.extra_ca_file.empty()) {
    curl_easy_setopt(c, CURLOPT_SSL_CTX_DATA, &options_.extra_ca_file);
    curl_easy_setopt(c, CURLOPT_SSL_CTX_FUNCTION, trust_also);
  }
  const auto signing = "aws:amz:" + options_.region + ":s3";
  curl_easy_setopt(c, CURLOPT_AWS_SIGV4, signing.c_str());
  curl_easy_setopt(c, CURLOPT_USERNAME, options_.access_key.c_str());
  curl_easy_setopt(c, CURLOPT_PASSWORD, options_.secret_key.c_str());

  std::unique_ptr<curl_slist, FreeList> headers;
  const auto add = [&](const std::string& line) { headers.reset(curl_slist_append(headers.release(), line.c_str())); };
  add("x-amz-content-sha256: " + to_hex(sha256(request.body)));
  if (!request.range.empty()) add("Range: " + request.range);
  add("Expect:");  // or libcurl asks first and waits for a store that does not know it
  add("Content-Type:");

  if (request.method == "PUT" || request.method == "POST") {
    curl_easy_setopt(c, CURLOPT_UPLOAD, 1L);
    curl_easy_setopt(c, CURLOPT_INFILESIZE_LARGE, static_cast<curl_off_t>(request.body.size()));
    curl_easy_setopt(c, CURLOPT_READFUNCTION, send_some);
    curl_easy_setopt(c, CURLOPT_READDATA, &t);
    curl_easy_setopt(c, CURLOPT_SEEKFUNCTION, send_again);
    curl_easy_setopt(c, CURLOPT_SEEKDATA, &t);
  }
  const std::string method(request.method);
  if (method != "GET") curl_easy_setopt(c, CURLOPT_CUSTOMREQUEST, method.c_str());
  curl_easy_setopt(c, CURLOPT_HTTPHEADER, headers.get());
  curl_easy_setopt(c, CURLOPT_WRITEFUNCTION, receive_some);
  curl_easy_setopt(c, CURLOPT_WRITEDATA, &t);
  curl_easy_setopt(c, CURLOPT_HEADERFUNCTION, receive_header);
  curl_easy_setopt(c, CURLOPT_HEADERDATA, &t);

  const CURLcode code = curl_easy_perform(c);
  Reply reply{.body = std::move(t.body), .etag = std::move(t.etag)};
  curl_easy_getinfo(c, CURLINFO_RESPONSE_CODE, &reply.status);
  curl_easy_reset(c);  // before the secret's owner may go
  {
    const std::lock_guard lock(mutex_);
    free_.push_back(std::move(handle));
  }
  if (!t.sunk) return std::unexpected(std::move(t.sunk.error()));
  if (code != CURLE_OK) {
    return fail(haechi::Errc::Unavailable, std::string("the S3 store: ") + curl_easy_strerror(code));
  }
  return reply;
}

/// Repeats what fails in passing. Every request here may be repeated.
Result<S3Keeper::Reply> S3Keeper::call(const Call& request) {
  const auto deadline = std::chrono::steady_clock::now() + options_.patience;
  auto pause = options_.first_pause;
  while (true) {
    auto reply = once(request);
    const auto status = reply ? reply->status : 0;
    if (reply && status / 100 == 2) return reply;
    if (!reply && !reply.error().is(haechi::Errc::Unavailable)) return reply;
    const bool passing = !reply || status / 100 == 5 || status == 429 || status == 408;
    if (!passing || std::chrono::steady_clock::now() + pause >= deadline) {
      if (!reply) return reply;
      std::size_t at = 0;
      const auto code = element(reply->body, "Code", at).value_or("no code");
      if (status == 404) return fail(Errc::NotFound, "the S3 store has no such object: " + code);
      const auto text = "the S3 store refused a " + std::string(request.method) + " with " + std::to_string(status) +
                        " (" + code.substr(0, 60) + ")";
      if (passing) return fail(haechi::Errc::Unavailable, text);
      return fail(Errc::Io, text);
    }
    std::this_thread::sleep_for(pause);
    pause = std::min<Duration>(pause * 2, kPauseMax);
  }
}

Result<> S3Keeper::write(const std::string& name, const Original& from, const Alive& alive) {
  const auto key = key_of(name);
  if (from.bytes > options_.part_bytes) return write_parts(key, from, alive);
  std::string body(static_cast<std::size_t>(from.bytes), '\0');
  TRY(const std::size_t n, from.files.read(from.fd, body, 0));
  if (n != body.size()) return fail(Errc::Io, "a file of an upload became shorter");
  TRY_DO(call({.method = "PUT", .key = key, .body = body}));
  return {};
}

Result<> S3Keeper::write_parts(const std::string& key, const Original& from, const Alive& alive) {
  TRY(const auto begun, call({.method = "POST", .key = key, .query = "uploads="}));
  std::size_t at = 0;
  const auto upload = element(begun.body, "UploadId", at);
  if (!upload) return fail(Errc::Io, "the S3 store began an upload without an id");
  const auto of_upload = "uploadId=" + percent_encode(unescaped(*upload));

  const auto part_bytes = std::max<std::uint64_t>(options_.part_bytes, (from.bytes + kPartsMax - 1) / kPartsMax);
  std::string list = "<CompleteMultipartUpload>";
  std::string part;
  std::size_t number = 1;
  for (std::uint64_t done = 0; done < from.bytes; done += part.size(), ++number) {
    part.resize(static_cast<std::size_t>(std::min(part_bytes, from.bytes - done)));
    TRY(const std::size_t n, from.files.read(from.fd, part, done));
    if (n != part.size()) return fail(Errc::Io, "a file of an upload became shorter");
    TRY_DO(alive());
    const auto text = std::to_string(number);
    TRY(const auto reply,
        call({.method = "PUT", .key = key, .query = "partNumber=" + text + "&" + of_upload, .body = part}));
    if (reply.etag.empty()) return fail(Errc::Io, "the S3 store took a part without an entity tag");
    list += "<Part><PartNumber>" + text + "</PartNumber><ETag>" + reply.etag + "</ETag></Part>";
  }
  list += "</CompleteMultipartUpload>";
  const auto ended = call({.method = "POST", .key = key, .query = of_upload, .body = list});
  // 200 may still carry an error. And a first answer that was lost has ended the upload: then the object is there.
  if (ended && ended->body.find("<Error>") != std::string::npos) {
    return fail(haechi::Errc::Unavailable, "the S3 store could not put an upload together");
  }
  if (!ended && ended.error().is(Errc::NotFound)) {
    TRY_DO(call({.method = "GET", .key = key, .range = "bytes=0-0"}));
    return {};
  }
  if (!ended) return std::unexpected(ended.error());
  return {};
}

Result<> S3Keeper::read(const std::string& name, std::uint64_t offset, std::uint64_t length, const Sink& sink) {
  const auto end = offset + length;
  const auto deadline = std::chrono::steady_clock::now() + options_.patience;
  while (offset < end) {
    const auto before = offset;
    const Sink counted = [&](std::string_view bytes) -> Result<> {
      // More than was asked for: a store that ignores ranges.
      if (bytes.size() > end - offset) return fail(Errc::Io, "the S3 store answered with more than was asked for");
      offset += bytes.size();
      return sink(bytes);
    };
    const auto reply = once({.method = "GET",
                             .key = key_of(name),
                             .range = "bytes=" + std::to_string(offset) + '-' + std::to_string(end - 1),
                             .sink = &counted});
    if (offset == end) break;
    if (!reply && !reply.error().is(haechi::Errc::Unavailable)) return std::unexpected(reply.error());
    const auto status = reply ? reply->status : 0;
    if (status == 404 || status == 416) return fail(Errc::NotFound, "the S3 store has no such object");
    const bool passing = !reply || status / 100 == 2 || status / 100 == 5 || status == 429 || status == 408;
    const auto text = reply ? "the S3 store refused a GET with " + std::to_string(status) : reply.error().message;
    if (!passing) return fail(Errc::Io, text);
    // What broke off in its midst goes on where it stopped.
    if (std::chrono::steady_clock::now() >= deadline) return fail(haechi::Errc::Unavailable, text);
    if (offset == before) std::this_thread::sleep_for(options_.first_pause);
  }
  return {};
}

Result<> S3Keeper::abort_uploads(const std::string& key) {
  const auto listed = call({.method = "GET", .query = "prefix=" + percent_encode(key) + "&uploads="});
  // Stores that do not list uploads end old ones by their own rules.
  if (!listed && !listed.error().is(haechi::Errc::Unavailable)) return {};
  if (!listed) return std::unexpected(listed.error());
  for (std::size_t at = 0; const auto upload = element(listed->body, "UploadId", at);) {
    const auto gone = call({.method = "DELETE", .key = key, .query = "uploadId=" + percent_encode(unescaped(*upload))});
    if (!gone && !gone.error().is(Errc::NotFound)) return std::unexpected(gone.error());
  }
  return {};
}

Result<> S3Keeper::remove(const std::string& name) {
  const auto key = key_of(name);
  TRY_DO(abort_uploads(key));
  const auto gone = call({.method = "DELETE", .key = key});
  if (!gone && !gone.error().is(Errc::NotFound)) return std::unexpected(gone.error());
  return {};
}

}  // namespace haechi::blob

#include "cluster/asker.hpp"

#include <curl/curl.h>
#include <openssl/ssl.h>

#include <cerrno>
#include <mutex>
#include <thread>
#include <unordered_map>
#include <vector>

namespace haechi::cluster {
namespace {

constexpr std::size_t kAnswerBytesMax = 1 << 20;
constexpr long kConnectionsKept = 64;

struct CurlDeleter {
  void operator()(CURL* c) const { curl_easy_cleanup(c); }
  void operator()(curl_slist* l) const { curl_slist_free_all(l); }
};

CURLcode trust_also(CURL*, void* context, void* user) {
  const auto& file = *static_cast<const std::string*>(user);
  const int ok = SSL_CTX_load_verify_locations(static_cast<SSL_CTX*>(context), file.c_str(), nullptr);
  return ok == 1 ? CURLE_OK : CURLE_SSL_CACERT_BADFILE;
}

struct MultiDeleter {
  void operator()(CURLM* m) const { curl_multi_cleanup(m); }
};

struct Exchange {
  Question question;
  Promise<Answer> promise;
  std::string body;
  std::unique_ptr<curl_slist, CurlDeleter> headers;
  std::unique_ptr<CURL, CurlDeleter> handle;
};

std::size_t take_body(char* data, std::size_t, std::size_t size, void* user) {
  auto& exchange = *static_cast<Exchange*>(user);
  if (exchange.body.size() + size > kAnswerBytesMax) return 0;
  exchange.body.append(data, size);
  return size;
}

}  // namespace

struct HttpAsker::Impl {
  Impl(Loop& l, std::string ca) : loop(l), extra_ca_file(std::move(ca)), multi(curl_multi_init()) {
    curl_multi_setopt(multi.get(), CURLMOPT_MAXCONNECTS, kConnectionsKept);
    thread = std::thread([this] { work(); });
  }
  ~Impl() {
    stop();
    thread.join();
  }

  void stop() {
    {
      const std::lock_guard lock(mutex);
      stopping = true;
    }
    curl_multi_wakeup(multi.get());
  }

  bool push(std::unique_ptr<Exchange> exchange) {
    {
      const std::lock_guard lock(mutex);
      if (stopping) return false;
      fresh.push_back(std::move(exchange));
    }
    curl_multi_wakeup(multi.get());
    return true;
  }

  void work() {
    for (;;) {
      std::vector<std::unique_ptr<Exchange>> added;
      {
        const std::lock_guard lock(mutex);
        if (stopping) break;
        added.swap(fresh);
      }
      for (auto& exchange : added) begin(std::move(exchange));
      int running = 0;
      curl_multi_perform(multi.get(), &running);
      int left = 0;
      while (const CURLMsg* message = curl_multi_info_read(multi.get(), &left)) {
        if (message->msg == CURLMSG_DONE) finish(message->easy_handle, message->data.result);
      }
      curl_multi_poll(multi.get(), nullptr, 0, 1000, nullptr);
    }
    for (auto& [handle, exchange] : open) {
      curl_multi_remove_handle(multi.get(), handle);
      answer(std::move(exchange), {});
    }
    open.clear();
    const std::lock_guard lock(mutex);
    for (auto& exchange : fresh) answer(std::move(exchange), {});
    fresh.clear();
  }

  void begin(std::unique_ptr<Exchange> exchange) {
    auto& x = *exchange;
    CURL* const c = spare.empty() ? curl_easy_init() : spare.back().release();
    if (!spare.empty()) spare.pop_back();
    x.handle.reset(c);
    const auto& q = x.question;
    curl_easy_reset(c);
    curl_easy_setopt(c, CURLOPT_URL, q.url.c_str());
    curl_easy_setopt(c, CURLOPT_CUSTOMREQUEST, q.method.c_str());
    if (!q.body.empty() || q.method == "POST" || q.method == "PUT" || q.method == "PATCH") {
      curl_easy_setopt(c, CURLOPT_POSTFIELDSIZE_LARGE, static_cast<curl_off_t>(q.body.size()));
      curl_easy_setopt(c, CURLOPT_POSTFIELDS, q.body.c_str());
    }
    curl_slist* headers = curl_slist_append(nullptr, "Expect:");
    if (!q.content_type.empty()) headers = curl_slist_append(headers, ("Content-Type: " + q.content_type).c_str());
    x.headers.reset(headers);
    curl_easy_setopt(c, CURLOPT_HTTPHEADER, headers);
    const auto ms = std::max<std::int64_t>(std::chrono::duration_cast<std::chrono::milliseconds>(q.timeout).count(), 1);
    curl_easy_setopt(c, CURLOPT_TIMEOUT_MS, static_cast<long>(ms));
    curl_easy_setopt(c, CURLOPT_CONNECTTIMEOUT_MS, static_cast<long>(ms));
    curl_easy_setopt(c, CURLOPT_NOSIGNAL, 1L);
    curl_easy_setopt(c, CURLOPT_PROXY, "");
    curl_easy_setopt(c, CURLOPT_PROTOCOLS_STR, "http,https");
    curl_easy_setopt(c, CURLOPT_HTTP09_ALLOWED, 0L);
    curl_easy_setopt(c, CURLOPT_TCP_NODELAY, 1L);
    if (q.connect_only) curl_easy_setopt(c, CURLOPT_CONNECT_ONLY, 1L);
    curl_easy_setopt(c, CURLOPT_WRITEFUNCTION, take_body);
    curl_easy_setopt(c, CURLOPT_WRITEDATA, &x);
    if (!extra_ca_file.empty()) {
      curl_easy_setopt(c, CURLOPT_SSL_CTX_DATA, &extra_ca_file);
      curl_easy_setopt(c, CURLOPT_SSL_CTX_FUNCTION, trust_also);
    }
    open.emplace(c, std::move(exchange));
    curl_multi_add_handle(multi.get(), c);
  }

  void finish(CURL* c, CURLcode code) {
    const auto at = open.find(c);
    if (at == open.end()) return;
    auto exchange = std::move(at->second);
    open.erase(at);
    Answer a;
    double seconds = 0;
    curl_easy_getinfo(c, CURLINFO_TOTAL_TIME, &seconds);
    a.took = std::chrono::duration_cast<Duration>(std::chrono::duration<double>(seconds));
    long status = 0;
    curl_easy_getinfo(c, CURLINFO_RESPONSE_CODE, &status);
    long os_error = 0;
    curl_easy_getinfo(c, CURLINFO_OS_ERRNO, &os_error);
    if (code == CURLE_OK) {
      a.how = Answer::How::Answered;
      a.status = static_cast<int>(status);
      a.body = std::move(exchange->body);
    } else if (code == CURLE_COULDNT_CONNECT && os_error == ECONNREFUSED) {
      a.how = Answer::How::Refused;
    }
    curl_multi_remove_handle(multi.get(), c);
    if (spare.size() < 32) spare.push_back(std::move(exchange->handle));
    answer(std::move(exchange), std::move(a));
  }

  void answer(std::unique_ptr<Exchange> exchange, Answer a) {
    loop.post([promise = std::move(exchange->promise), a = std::move(a)]() mutable { promise.set(std::move(a)); });
  }

  Loop& loop;
  const std::string extra_ca_file;
  std::unique_ptr<CURLM, MultiDeleter> multi;
  std::mutex mutex;
  std::vector<std::unique_ptr<Exchange>> fresh;
  bool stopping = false;
  // The thread's own.
  std::unordered_map<CURL*, std::unique_ptr<Exchange>> open;
  std::vector<std::unique_ptr<CURL, CurlDeleter>> spare;
  std::thread thread;
};

HttpAsker::HttpAsker(Loop& loop, std::string extra_ca_file) {
  static std::once_flag once;
  std::call_once(once, [] { curl_global_init(CURL_GLOBAL_DEFAULT); });
  impl_ = std::make_unique<Impl>(loop, std::move(extra_ca_file));
}

HttpAsker::~HttpAsker() = default;

void HttpAsker::stop() { impl_->stop(); }

Task<Answer> HttpAsker::ask(Question question) {
  auto exchange = std::make_unique<Exchange>();
  exchange->question = std::move(question);
  auto future = exchange->promise.future();
  if (!impl_->push(std::move(exchange))) co_return Answer{};
  co_return co_await future;
}

}  // namespace haechi::cluster

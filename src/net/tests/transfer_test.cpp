#include <fcntl.h>
#include <openssl/evp.h>
#include <openssl/pem.h>
#include <openssl/ssl.h>
#include <openssl/x509.h>
#include <zlib.h>

#include <filesystem>
#include <fstream>

#include "fixture.hpp"

namespace haechi::net::test {
namespace {

std::string unzip(const std::string& packed) {
  z_stream z{};
  REQUIRE(inflateInit2(&z, 15 + 16) == Z_OK);
  std::string out(8 * 1024 * 1024, '\0');
  z.next_in = reinterpret_cast<Bytef*>(const_cast<char*>(packed.data()));
  z.avail_in = static_cast<uInt>(packed.size());
  z.next_out = reinterpret_cast<Bytef*>(out.data());
  z.avail_out = static_cast<uInt>(out.size());
  CHECK(inflate(&z, Z_FINISH) == Z_STREAM_END);
  out.resize(z.total_out);
  inflateEnd(&z);
  return out;
}

/// A folder of its own that goes away again.
struct TempFolder {
  TempFolder() {
    std::string pattern = (std::filesystem::temp_directory_path() / "haechi-net-XXXXXX").string();
    REQUIRE(::mkdtemp(pattern.data()) != nullptr);
    path = pattern;
  }
  ~TempFolder() { std::filesystem::remove_all(path); }
  std::filesystem::path path;
};

std::string pattern_bytes(std::size_t n) {
  std::string out(n, '\0');
  std::uint32_t x = 1;
  for (auto& c : out) c = static_cast<char>((x = x * 1664525 + 1013904223) >> 24);
  return out;
}

void transfer_routes(Router& r, const std::string& file, const std::string& text) {
  r.add(Method::Get, "/text", [&text](Request&) -> Task<Result<Response>> { co_return Response::of_json(text); });
  r.add(Method::Get, "/shared", [&text](Request&) -> Task<Result<Response>> {
    co_return Response{.content_type = "image/png", .body = std::make_shared<const std::string>(text)};
  });
  r.add(Method::Get, "/file", [&file](Request& req) -> Task<Result<Response>> {
    CO_TRY(auto opened, File::open(file));
    const auto from = static_cast<std::uint64_t>(req.param_int("from").value_or(0));
    const auto size = opened->size();
    const auto length =
        static_cast<std::uint64_t>(req.param_int("length").value_or(static_cast<std::int64_t>(size - from)));
    co_return Response{.content_type = "video/mp4", .body = FileRange{std::move(opened), from, length}};
  });
  r.add(Method::Post, "/upload",
        [](Request& req) -> Task<Result<Response>> {
          std::uint64_t bytes = 0, sum = 0;
          while (true) {
            CO_TRY(const std::string_view piece, co_await req.stream->read());
            if (piece.empty()) break;
            bytes += piece.size();
            for (const char c : piece) sum += static_cast<unsigned char>(c);
          }
          co_return Response::of_json(std::to_string(bytes) + " " + std::to_string(sum));
        },
        {.body = Body::Stream, .body_bytes_max = 20'000'000});
  r.add(Method::Post, "/early",
        [](Request&) -> Task<Result<Response>> { co_return fail(haechi::Errc::Conflict, "no need"); },
        {.body = Body::Stream, .body_bytes_max = 20'000'000});
}

struct TransferServer {
  explicit TransferServer(ServerOptions options = {}) {
    std::ofstream(file, std::ios::binary) << bytes;
    server.emplace([this](Router& r, AsioLoop&) { transfer_routes(r, file, text); }, std::move(options));
  }
  TempFolder folder;
  std::string file = (folder.path / "video").string();
  std::string bytes = pattern_bytes(5'000'000);
  std::string text = [] {
    std::string out;
    while (out.size() < 1'000'000)
      out += R"({"type":"m.room.message","content":{"body":")" + std::to_string(out.size()) + "\"}}";
    return out;
  }();
  std::optional<TestServer> server;
};

std::string sum_of(std::string_view bytes) {
  std::uint64_t sum = 0;
  for (const char c : bytes) sum += static_cast<unsigned char>(c);
  return std::to_string(bytes.size()) + " " + std::to_string(sum);
}

TEST_CASE("large answers are zipped for those who can unzip") {
  TransferServer s;
  auto c = s.server->client();
  const Reply plain = c->ask(request("GET /text"));
  CHECK(plain.body == s.text);
  CHECK(plain.header("Vary") == "Accept-Encoding");
  const Reply packed = c->ask(request("GET /text", "Accept-Encoding: br, gzip;q=0.8\r\n"));
  CHECK(packed.header("Content-Encoding") == "gzip");
  CHECK(packed.body.size() < s.text.size() / 4);
  CHECK(unzip(packed.body) == s.text);
  CHECK_FALSE(c->ask(request("GET /text", "Accept-Encoding: gzip;q=0\r\n")).has("Content-Encoding"));
  const Reply picture = c->ask(request("GET /shared", "Accept-Encoding: gzip\r\n"));
  CHECK_FALSE(picture.has("Content-Encoding"));
  CHECK(picture.body == s.text);
}

TEST_CASE("file ranges are sent as they lie on disk") {
  TransferServer s;
  auto c = s.server->client();
  CHECK(c->ask(request("GET /file")).body == s.bytes);
  CHECK(c->ask(request("GET /file?from=1000000&length=2500000")).body == s.bytes.substr(1'000'000, 2'500'000));
  CHECK(c->ask(request("GET /file?length=0")).body.empty());
  c->send(request("HEAD /file"));
  CHECK(c->read(true).header("Content-Length") == "5000000");
  // Behind one another in one pipeline.
  c->send(request("GET /file?from=4999990") + request("GET /shared") + request("GET /file?length=10"));
  CHECK(c->read().body == s.bytes.substr(4'999'990));
  CHECK(c->read().body == s.text);
  CHECK(c->read().body == s.bytes.substr(0, 10));
}

TEST_CASE("a file that is shorter than promised cuts the connection") {
  TransferServer s;
  auto c = s.server->client();
  c->send(request("GET /file?length=6000000"));
  CHECK(c->read_to_end().size() < 6'000'000);
}

TEST_CASE("uploads stream to their handler") {
  TransferServer s;
  auto c = s.server->client();
  const std::string big = s.bytes + s.bytes;
  CHECK(c->ask(request("POST /upload", "", big)).body == sum_of(big));
  CHECK(c->ask(request("POST /upload", "Content-Length: 0\r\n")).body == "0 0");
  std::string chunked = request("POST /upload", "Transfer-Encoding: chunked\r\n");
  for (int i = 0; i < 100; ++i)
    chunked += "3e8\r\n" + s.bytes.substr(static_cast<std::size_t>(i) * 1000, 1000) + "\r\n";
  // The next request comes in the same write as the end of the body.
  c->send(chunked + "0\r\n\r\n" + request("POST /upload", "", "abc"));
  CHECK(c->read().body == sum_of(s.bytes.substr(0, 100'000)));
  CHECK(c->read().body == sum_of("abc"));
  c->send(request("POST /upload", "Expect: 100-continue\r\nContent-Length: 3\r\n"));
  CHECK(c->read(true).status == 100);
  CHECK(c->ask("xyz").body == sum_of("xyz"));
}

TEST_CASE("an upload that breaks its bounds is refused") {
  TransferServer s;
  CHECK(s.server->client()->ask(request("POST /upload", "Content-Length: 20000001\r\n")).status == 413);
  auto c = s.server->client();
  c->send(request("POST /upload", "Transfer-Encoding: chunked\r\n"));
  for (int i = 0; i < 21; ++i) c->send("f4240\r\n" + std::string(1'000'000, 'x') + "\r\n");
  CHECK(c->read().status == 413);
}

TEST_CASE("a handler may answer before the upload is over") {
  TransferServer s;
  auto c = s.server->client();
  c->send(request("POST /early", "", std::string(1'000'000, 'x')));
  const Reply r = c->read();
  CHECK(r.status == 409);
  CHECK(r.header("Connection") == "close");
  c->end_sending();
  CHECK(c->closed());
}

/// The client's side of TLS over RawClient's socket.
class TlsClient {
 public:
  TlsClient(std::uint16_t port, const std::string& ca) : raw_(port), context_(SSL_CTX_new(TLS_client_method())) {
    REQUIRE(SSL_CTX_load_verify_locations(context_, ca.c_str(), nullptr) == 1);
    SSL_CTX_set_verify(context_, SSL_VERIFY_PEER, nullptr);
    ssl_ = SSL_new(context_);
    static constexpr unsigned char kProtocols[] = "\x02h2\x08http/1.1";
    SSL_set_alpn_protos(ssl_, kProtocols, sizeof(kProtocols) - 1);
    SSL_set_fd(ssl_, raw_.fd());
    REQUIRE(SSL_connect(ssl_) == 1);
  }
  ~TlsClient() {
    SSL_free(ssl_);
    SSL_CTX_free(context_);
  }
  std::string protocol() const {
    const unsigned char* name = nullptr;
    unsigned length = 0;
    SSL_get0_alpn_selected(ssl_, &name, &length);
    return {reinterpret_cast<const char*>(name), length};
  }
  void send(std::string_view bytes) {
    REQUIRE(SSL_write(ssl_, bytes.data(), static_cast<int>(bytes.size())) == static_cast<int>(bytes.size()));
  }
  /// Reads until `n` bytes of body have come.
  std::string body(std::size_t n) {
    std::string all;
    while (true) {
      const auto end = all.find("\r\n\r\n");
      if (end != std::string::npos && all.size() >= end + 4 + n) return all.substr(end + 4);
      char buffer[16384];
      const int got = SSL_read(ssl_, buffer, sizeof buffer);
      if (got <= 0) return "cut";
      all.append(buffer, static_cast<std::size_t>(got));
    }
  }
  std::string rest() {
    std::string all;
    char buffer[16384];
    for (int got; (got = SSL_read(ssl_, buffer, sizeof buffer)) > 0;) all.append(buffer, static_cast<std::size_t>(got));
    return all;
  }

 private:
  RawClient raw_;
  SSL_CTX* context_;
  SSL* ssl_ = nullptr;
};

void write_certificate(const std::string& certificate, const std::string& key) {
  EVP_PKEY* pair = EVP_EC_gen("P-256");
  X509* x = X509_new();
  X509_set_version(x, 2);
  ASN1_INTEGER_set(X509_get_serialNumber(x), 1);
  X509_gmtime_adj(X509_getm_notBefore(x), -60);
  X509_gmtime_adj(X509_getm_notAfter(x), 3600);
  X509_set_pubkey(x, pair);
  X509_NAME* name = X509_get_subject_name(x);
  X509_NAME_add_entry_by_txt(name, "CN", MBSTRING_ASC, reinterpret_cast<const unsigned char*>("localhost"), -1, -1, 0);
  X509_set_issuer_name(x, name);
  REQUIRE(X509_sign(x, pair, EVP_sha256()) > 0);
  FILE* out = std::fopen(certificate.c_str(), "w");
  PEM_write_X509(out, x);
  std::fclose(out);
  out = std::fopen(key.c_str(), "w");
  PEM_write_PrivateKey(out, pair, nullptr, nullptr, 0, nullptr, nullptr);
  std::fclose(out);
  X509_free(x);
  EVP_PKEY_free(pair);
}

TEST_CASE("TLS carries everything that plain sockets do") {
  TempFolder folder;
  const std::string certificate = (folder.path / "cert.pem").string(), key = (folder.path / "key.pem").string();
  write_certificate(certificate, key);
  TransferServer s({.tls_certificate_file = certificate, .tls_key_file = key});
  TlsClient c(s.server->port, certificate);
  CHECK(c.protocol() == "http/1.1");
  c.send(request("GET /file"));
  CHECK(c.body(s.bytes.size()) == s.bytes);
  c.send(request("GET /shared"));
  CHECK(c.body(s.text.size()) == s.text);
  c.send(request("POST /upload", "", s.bytes));
  CHECK(c.body(sum_of(s.bytes).size()) == sum_of(s.bytes));
  // Plain HTTP on a TLS port, and a client that leaves in the handshake, hurt nobody.
  CHECK(s.server->client()->ask(request("GET /file")).status == 0);
  c.send(request("GET /file?length=3"));
  CHECK(c.body(3) == s.bytes.substr(0, 3));
}

TEST_CASE("pipelined requests do not get stuck inside a TLS record") {
  TempFolder folder;
  const std::string certificate = (folder.path / "cert.pem").string(), key = (folder.path / "key.pem").string();
  write_certificate(certificate, key);
  TransferServer s({.tls_certificate_file = certificate, .tls_key_file = key, .pipelined_max = 2});
  TlsClient c(s.server->port, certificate);
  std::string many;
  for (int i = 0; i < 1000; ++i) many += request("POST /upload", "", "abc");
  many += request("GET /file?length=100000", "Connection: close\r\n");
  c.send(many);
  CHECK(c.rest().ends_with(s.bytes.substr(0, 100'000)));
}

TEST_CASE("a server that cannot start says why") {
  TempFolder folder;
  const std::string certificate = (folder.path / "cert.pem").string(), key = (folder.path / "key.pem").string();
  write_certificate(certificate, key);
  SystemClock clock;
  AsioLoop loop(clock);
  Router router;
  Metrics metrics;
  const auto why = [&](ServerOptions options) {
    auto made = Server::create(loop, router, metrics, std::move(options));
    return made ? std::string() : made.error().message;
  };
  CHECK(why({.tls_certificate_file = "/nowhere.pem", .tls_key_file = key}).find("/nowhere.pem") != std::string::npos);
  CHECK(why({.tls_certificate_file = certificate, .tls_key_file = certificate}).find("TLS key") != std::string::npos);
  CHECK(why({.tls_certificate_file = certificate}).find("both") != std::string::npos);
  CHECK(why({.address = "example.com"}).find("example.com") != std::string::npos);
  TransferServer taken;
  CHECK(why({.port = taken.server->port}).find("Address already in use") != std::string::npos);
}

}  // namespace
}  // namespace haechi::net::test

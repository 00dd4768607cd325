#include "blob/s3_keeper.hpp"

#include <curl/curl.h>
#include <sys/wait.h>

#include <cstdio>

#include "base/json.hpp"
#include "blob/database_keeper.hpp"
#include "blob/shared_store.hpp"
#include "blob/spool.hpp"
#include "blob/tests/engines.hpp"
#include "blob/tests/fixture.hpp"

using namespace haechi;
using namespace haechi::blob;
using namespace haechi::blob::test;

namespace {

constexpr std::size_t kMiB = 1024 * 1024;

std::string noise(std::size_t n, std::uint64_t seed = 1) {
  SeededRandom random(seed);
  std::string out(n, '\0');
  random.fill({reinterpret_cast<std::uint8_t*>(out.data()), n});
  return out;
}

/// tests/fake_s3.py as a process of its own: its signatures are checked by code that is not ours.
class FakeS3 {
 public:
  explicit FakeS3(const std::string& certificate = {}) {
    const auto script = std::filesystem::path(__FILE__).parent_path() / "../../../tests/fake_s3.py";
    int in[2];
    int out[2];
    REQUIRE(::pipe(in) == 0);
    REQUIRE(::pipe(out) == 0);
    pid_ = ::fork();
    if (pid_ == 0) {
      ::dup2(in[0], 0);
      ::dup2(out[1], 1);
      for (const int fd : {in[0], in[1], out[0], out[1]}) ::close(fd);
      ::execlp("python3", "python3", script.c_str(), "--tls", certificate.c_str(), nullptr);
      ::_exit(127);
    }
    ::close(in[0]);
    ::close(out[1]);
    life_ = in[1];
    std::string port;
    for (char c = 0; ::read(out[0], &c, 1) == 1 && c != '\n';) port += c;
    ::close(out[0]);
    REQUIRE(!port.empty());
    endpoint = (certificate.empty() ? "http://127.0.0.1:" : "https://127.0.0.1:") + port;
  }
  ~FakeS3() {
    ::close(life_);
    ::waitpid(pid_, nullptr, 0);
  }

  json::object control(const json::object& order = {}) {
    std::string answer;
    CURL* c = curl_easy_init();
    const auto body = to_text(order);
    curl_easy_setopt(c, CURLOPT_URL, (endpoint + "/_control").c_str());
    curl_easy_setopt(c, CURLOPT_COPYPOSTFIELDS, body.c_str());
    curl_easy_setopt(c, CURLOPT_WRITEDATA, &answer);
    curl_easy_setopt(
        c, CURLOPT_WRITEFUNCTION, +[](char* p, std::size_t s, std::size_t n, void* to) {
          static_cast<std::string*>(to)->append(p, s * n);
          return s * n;
        });
    REQUIRE(curl_easy_perform(c) == CURLE_OK);
    curl_easy_cleanup(c);
    return parse_json_object(answer).value();
  }
  void fault(std::string_view match, std::string_view what, int times) {
    control(
        {{"faults", json::array{json::object{{"match", match}, {"do", what}, {"times", times}}}}, {"forget", true}});
  }
  std::size_t objects() { return get_object(control(), "objects")->size(); }
  std::size_t uploads() { return get_array(control(), "uploads")->size(); }
  S3Options options() const {
    return {.endpoint = endpoint,
            .region = "eu-test-1",
            .bucket = "media",
            .access_key = "test-access",
            .secret_key = "test-secret/with+signs",
            .part_bytes = kMiB,
            .silence_max = 5s,
            .patience = 10s,
            .first_pause = 1ms};
  }

  std::string endpoint;

 private:
  pid_t pid_ = -1;
  int life_ = -1;
};

struct Fixture {
  TempDir dir;
  std::unique_ptr<FileSystem> files = posix_file_system();
  FakeS3 s3;

  Result<> write(Keeper& keeper, const std::string& name, const std::string& bytes) {
    const auto path = dir.path + "/file";
    std::ofstream(path, std::ios::binary | std::ios::trunc) << bytes;
    const File file(files->open_read(path).value(), bytes.size());
    return keeper.write(name, {*files, file.fd(), bytes.size()}, []() -> Result<> { return {}; });
  }
  static Result<std::string> read(Keeper& keeper, const std::string& name, std::uint64_t offset, std::uint64_t length) {
    std::string out;
    TRY_DO(keeper.read(name, offset, length, [&](std::string_view bytes) -> Result<> {
      out += bytes;
      return {};
    }));
    return out;
  }
};

}  // namespace

TEST_CASE_FIXTURE(Fixture, "an S3 store takes what is signed, in one piece or in parts, and gives back any part") {
  S3Keeper keeper(s3.options());
  int number = 0;
  for (const std::size_t size : {0uz, 1uz, 1000uz, kMiB, kMiB + 1, 3 * kMiB, 5 * kMiB + 17}) {
    CAPTURE(size);
    const auto name = "0a" + std::to_string(number++);
    const auto bytes = noise(size);
    const auto written = write(keeper, name, bytes);
    CAPTURE(sv(s3.control().at("why").as_string()));
    REQUIRE(written);
    if (size > 0) CHECK(read(keeper, name, 0, size).value() == bytes);
    if (size > 2000) CHECK(read(keeper, name, 500, 1234).value() == bytes.substr(500, 1234));
    CHECK(read(keeper, name, size, 1).error().is(blob::Errc::NotFound));
    REQUIRE(keeper.remove(name));
    CHECK(read(keeper, name, 0, 1).error().is(blob::Errc::NotFound));
    CHECK(keeper.remove(name).has_value());
  }
  CHECK(s3.objects() == 0);
  CHECK(s3.uploads() == 0);
  CHECK(s3.control().at("refused").as_int64() == 0);
}

TEST_CASE_FIXTURE(Fixture, "what fails in passing is tried again") {
  struct Row {
    const char* match;
    const char* fault;
    int times;
  };
  const Row rows[] = {
      {"PUT ", "500", 3},          {"PUT ", "503", 2},          {"PUT ", "drop", 2},     {"PUT ", "lose", 2},
      {"PUT ", "429", 2},          {"PUT ", "slow:0.2", 1},     {"?uploads=", "503", 2}, {"?uploads=", "lose", 1},
      {"partNumber=2", "drop", 2}, {"partNumber=2", "lose", 1}, {"POST ", "lose", 1},    {"?uploadId=", "500", 2},
      {"?uploadId=", "lose", 1},   {"GET ", "500", 2},          {"GET ", "drop", 2},     {"GET ", "cut", 3},
      {"GET ", "slow:0.2", 1},     {"DELETE ", "503", 2},       {"DELETE ", "lose", 1},
  };
  S3Keeper keeper(s3.options());
  int number = 0;
  for (const std::size_t size : {1000uz, 2 * kMiB + 9}) {
    for (const auto& row : rows) {
      CAPTURE(size);
      CAPTURE(row.match);
      CAPTURE(row.fault);
      const auto name = "0b" + std::to_string(number++);
      const auto bytes = noise(size, static_cast<std::uint64_t>(number));
      s3.fault(row.match, row.fault, row.times);
      CHECK(write(keeper, name, bytes).has_value());
      CHECK(read(keeper, name, 0, size).value() == bytes);
      CHECK(keeper.remove(name).has_value());
      CHECK(s3.objects() == 0);
      CHECK(s3.uploads() == 0);
    }
  }
}

TEST_CASE_FIXTURE(Fixture, "what is refused, late or gone is told without the secret") {
  struct Row {
    const char* match;
    const char* fault;
    std::error_code expected;
  };
  const Row rows[] = {
      {"PUT ", "403", make_error_code(blob::Errc::Io)},
      {"PUT ", "500", make_error_code(haechi::Errc::Unavailable)},
      {"PUT ", "drop", make_error_code(haechi::Errc::Unavailable)},
      {"PUT ", "404", make_error_code(blob::Errc::NotFound)},
  };
  auto options = s3.options();
  options.patience = 100ms;
  S3Keeper keeper(options);
  for (const auto& row : rows) {
    CAPTURE(row.fault);
    s3.fault(row.match, row.fault, 1000);
    const auto done = write(keeper, "0c", "hello");
    REQUIRE_FALSE(done);
    CHECK(done.error().code == row.expected);
    CHECK(done.error().message.find("secret") == std::string::npos);
  }
  s3.fault("none", "500", 0);

  options.secret_key = "another";
  S3Keeper wrong(options);
  CHECK(write(wrong, "0c", "hello").error().message.find("403 (SignatureDoesNotMatch)") != std::string::npos);
  options.endpoint = "http://127.0.0.1:1";
  S3Keeper nobody(options);
  CHECK(write(nobody, "0c", "hello").error().is(haechi::Errc::Unavailable));
  CHECK(read(nobody, "0c", 0, 5).error().is(haechi::Errc::Unavailable));
}

TEST_CASE_FIXTURE(Fixture, "over TLS only a store is spoken to whose certificate is trusted") {
  const auto certificate = dir.path + "/certificate.pem";
  FakeS3 secure(certificate);
  auto options = secure.options();
  options.patience = 100ms;
  S3Keeper stranger(options);
  CHECK(write(stranger, "0d", "hello").error().message.find("certificate") != std::string::npos);
  options = secure.options();
  options.extra_ca_file = certificate;
  S3Keeper keeper(options);
  REQUIRE(write(keeper, "0d", "hello"));
  CHECK(read(keeper, "0d", 1, 3).value() == "ell");
}

TEST_CASE_FIXTURE(Fixture, "nodes share media in an S3 store, and still read what the database kept before") {
  ManualClock clock;
  ManualLoop loop(clock);
  SeededRandom random(1);
  const auto db = fresh_database("sqlite", dir.path);
  REQUIRE(store::migrate(*db, Media::migrations()).has_value());
  Sessions sessions(*db, 1s);
  const auto node = [&](const std::string& name, bool with_s3) {
    std::vector<std::unique_ptr<Keeper>> keepers;
    if (with_s3) keepers.push_back(std::make_unique<S3Keeper>(s3.options()));
    keepers.push_back(std::make_unique<DatabaseKeeper>(sessions));
    return SharedBlobStore::create(loop, clock, random, *files, sessions, std::move(keepers),
                                   {.cache = {.root = dir.path + '/' + name}})
        .value();
  };
  const auto old = node("old", false);
  const auto a = node("a", true);
  const auto b = node("b", true);
  const auto put = [&](SharedBlobStore& s, std::string bytes) {
    StringSource source(std::move(bytes));
    return loop.run(s.put(source, 1 << 30)).value().sha256;
  };
  const auto small = put(*old, "from before");
  const auto bytes = noise(5 * kMiB + 3);
  const auto large = put(*a, bytes);
  CHECK(s3.objects() == 1);
  CHECK(read_all(*loop.run(b->open(small)).value()) == "from before");
  CHECK(loop.run(b->read(large, 4 * kMiB + 5, 100)).value() == bytes.substr(4 * kMiB + 5, 100));

  // Damaged on the way: once is healed, always is told.
  s3.fault("GET ", "flip", 1);
  const auto healed = loop.run(b->open(large));
  CAPTURE((healed ? "" : healed.error().message));
  CHECK(read_all(*loop.run(b->open(large)).value()) == bytes);
  const auto c = node("c", true);
  s3.fault("GET ", "flip", 1000);
  CHECK(loop.run(c->open(large)).error().is(blob::Errc::Io));
  s3.fault("none", "500", 0);
  CHECK(read_all(*loop.run(c->open(large)).value()) == bytes);

  clock.advance(16min);
  CHECK(loop.run(b->remove(large, []() -> Task<Result<bool>> { co_return true; })).value());
  CHECK(s3.objects() == 0);
  for (auto* s : {old.get(), a.get(), b.get(), c.get()}) loop.run(s->stop());
}

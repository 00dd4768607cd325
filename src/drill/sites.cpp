#include "drill/sites.hpp"

#include <fcntl.h>
#include <fmt/format.h>
#include <linux/loop.h>
#include <sys/ioctl.h>
#include <sys/mount.h>
#include <sys/shm.h>
#include <sys/stat.h>
#include <sys/statvfs.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cerrno>
#include <cstring>
#include <deque>
#include <filesystem>
#include <fstream>

#include "base/random.hpp"
#include "base/text.hpp"

namespace haechi::drill {
namespace {

namespace fs = std::filesystem;

constexpr off_t kVolumeBytes = off_t{8} << 30;  // a sparse file: only what is written takes space
// As in deploy/systemd.
constexpr int kEtcdNice = -10;
constexpr int kPatroniNice = -5;
constexpr const char* kBallast = "/ballast";

std::unexpected<Error> failed(const std::string& what) { return fail(Errc::Io, what + ": " + std::strerror(errno)); }

Result<> write_file(const std::string& path, std::string_view text, mode_t mode = 0644) {
  const Fd file(open(path.c_str(), O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, mode));
  if (!file || write(file.get(), text.data(), text.size()) != static_cast<ssize_t>(text.size()) ||
      fchmod(file.get(), mode) != 0) {
    return failed(path);
  }
  return {};
}

Result<> make_folder(const std::string& path, mode_t mode = 0755) {
  if (mkdir(path.c_str(), mode) != 0 && errno != EEXIST) return failed(path);
  if (chmod(path.c_str(), mode) != 0) return failed(path);
  return {};
}

/// Gives a tree to a site's user.
Result<> give(const std::string& path, std::uint32_t user) {
  if (user == 0) return {};
  std::error_code ignored;
  if (lchown(path.c_str(), user, user) != 0) return failed(path);
  for (const auto& entry : fs::recursive_directory_iterator(path, ignored)) {
    if (lchown(entry.path().c_str(), user, user) != 0) return failed(entry.path());
  }
  return {};
}

/// The segment that a killed postmaster left; it would free it itself if it came back to its data.
void free_shared_memory(const std::string& data) {
  std::ifstream file(data + "/postmaster.pid");
  std::string line;
  for (int n = 0; n < 7; ++n) {
    if (!std::getline(file, line)) return;
  }
  // "KEY ID"
  const auto fields = split(trim(line), ' ');
  const auto id = parse_int(fields.back());
  shmid_ds segment{};
  if (id && shmctl(static_cast<int>(*id), IPC_STAT, &segment) == 0 && segment.shm_nattch == 0) {
    shmctl(static_cast<int>(*id), IPC_RMID, nullptr);
  }
}

Result<> run_quietly(std::vector<std::string> argv) {
  std::vector<char*> args;
  for (auto& a : argv) args.push_back(a.data());
  args.push_back(nullptr);
  const pid_t pid = vfork();
  if (pid == 0) {
    execvp(args[0], args.data());
    _exit(127);
  }
  const auto status = wait_for(pid, std::chrono::seconds(30));
  if (!status || *status != 0) return fail(Errc::Io, argv[0] + " failed");
  return {};
}

/// Mounts a file as a file system. The kernel frees the loop device with the last mount of it,
/// and the mount with the last process that can see it.
Result<> mount_file(const std::string& image, const std::string& folder) {
  const Fd control(open("/dev/loop-control", O_RDWR | O_CLOEXEC));
  const Fd file(open(image.c_str(), O_RDWR | O_CLOEXEC));
  if (!control) return failed("/dev/loop-control");
  if (!file) return failed(image);
  for (int attempt = 0; attempt < 20; ++attempt) {
    const int number = ioctl(control.get(), LOOP_CTL_GET_FREE);
    if (number < 0) return failed("a loop device");
    const std::string device = "/dev/loop" + std::to_string(number);
    const Fd loop(open(device.c_str(), O_RDWR | O_CLOEXEC));
    if (!loop) return failed(device);
    loop_config config{};
    config.fd = static_cast<__u32>(file.get());
    config.info.lo_flags = LO_FLAGS_AUTOCLEAR;
    if (ioctl(loop.get(), LOOP_CONFIGURE, &config) != 0) {
      if (errno == EBUSY) continue;  // somebody else was quicker
      return failed(device);
    }
    if (mount(device.c_str(), folder.c_str(), "ext4", MS_NOATIME, nullptr) != 0) return failed(folder);
    return {};
  }
  return fail(Errc::Io, "no free loop device");
}

}  // namespace

std::string tail(const std::string& path, std::size_t lines) {
  std::ifstream file(path);
  std::deque<std::string> last;
  for (std::string line; std::getline(file, line);) {
    last.push_back(std::move(line));
    if (last.size() > lines) last.pop_front();
  }
  std::string out;
  for (const auto& line : last) out += "    " + line + "\n";
  return out;
}

Result<std::unique_ptr<Sites>> Sites::create(SitesOptions options, const Network* network) {
  std::unique_ptr<Sites> sites(new Sites);
  sites->options_ = std::move(options);
  sites->network_ = network;
  TRY_DO(sites->prepare());
  return sites;
}

Sites::~Sites() {
  for (auto& site : sites_) (void)site.process.end();
  if (options_.limited_volumes) {
    for (auto& site : sites_) umount2(site.postgres_folder().c_str(), MNT_DETACH);
  }
}

Result<> Sites::prepare() {
  // Built in a home folder, it could not be run by the sites' users; and a build may replace it meanwhile.
  program_ = options_.folder + "/haechi";
  std::error_code error;
  fs::copy_file("/proc/self/exe", program_, fs::copy_options::overwrite_existing, error);
  if (error) return fail(Errc::Io, program_ + ": " + error.message());
  if (chmod(program_.c_str(), 0755) != 0) return failed(program_);

  SystemRandom random;
  for (auto& p : passwords_) p = random.text(24);
  for (int i = 0; i < kSites; ++i) {
    auto& site = (*this)[i];
    site.index = i;
    site.name = std::string(1, static_cast<char>('a' + i));
    site.address = fmt::format("{}.83.{}.1", options_.ground == Ground::Namespaces ? 10 : 127, i + 1);
    site.folder = options_.folder + "/" + site.name;
  }
  // Patroni looks its own address up; without an answer it waits for a name server that no site reaches.
  std::string hosts = "127.0.0.1 localhost\n";
  for (const auto& site : sites_) hosts += fmt::format("{} site-{}\n", site.address, site.name);
  TRY_DO(write_file(options_.folder + "/hosts", hosts));
  TRY_DO(write_file(options_.folder + "/resolv.conf", "# A site asks nobody outside.\n"));
  std::array<std::uint8_t, 32> key{};
  random.fill(key);
  for (auto& site : sites_) {
    TRY_DO(make_folder(site.folder));
    TRY_DO(make_folder(site.folder + "/secrets"));
    TRY_DO(write_file(site.folder + "/secrets/database-password", passwords_[0] + "\n", 0600));
    TRY_DO(write_file(site.folder + "/secrets/vault-key", base64_encode(key) + "\n", 0600));
    TRY_DO(prepare_site(site));
  }
  return {};
}

Values Sites::values(const Site& site) const {
  return {{"SITE", site.name},
          {"ADDRESS", site.address},
          {"ADDRESS_A", sites_[0].address},
          {"ADDRESS_B", sites_[1].address},
          {"ADDRESS_C", sites_[2].address},
          {"ADMIN_ADDRESS", options_.ground == Ground::Namespaces ? "10.83.9.1" : "127.0.0.1"},
          {"SERVER_NAME", "drill.test"},
          {"REGISTRATION", "open"},
          {"STATE", site.folder + "/state"},
          {"SECRETS", site.folder + "/secrets"},
          {"POST_BOOTSTRAP", site.folder + "/post-bootstrap.sh"},
          {"ETCD_DATA", site.folder + "/etcd"},
          {"ETCD_STATE", etcd_state_[static_cast<std::size_t>(site.index)]},
          {"PGDATA", site.postgres_folder() + "/data"},
          {"PGRUN", site.folder + "/run"},
          {"LOCAL_AUTH", options_.users[0] == 0 ? "trust" : "peer"},
          {"SHARED_BUFFERS", "128MB"},
          {"WAL_KEEP", "1GB"},
          {"WAL_MAX", "2GB"},
          {"SUPERUSER_PASSWORD", passwords_[1]},
          {"REPLICATION_PASSWORD", passwords_[2]},
          {"REWIND_PASSWORD", passwords_[3]}};
}

Result<> Sites::prepare_site(Site& site) {
  const auto v = values(site);
  TRY_DO(make_folder(site.postgres_folder(), 0700));
  for (const char* name : {"/etcd", "/run", "/state1", "/state2"}) TRY_DO(make_folder(site.folder + name, 0700));
  if (options_.limited_volumes) TRY_DO(make_volume(site));
  TRY(auto patroni, fill_in_file("patroni.yml", v));
  if (options_.ground == Ground::Loopback) {
    // Without a namespace of its own, what a killed PostgreSQL keeps in /dev/shm would outlive the drill.
    constexpr std::string_view kBefore = "    shared_buffers:";
    const auto at = patroni.find(kBefore);
    if (at == std::string::npos) return fail(Errc::Invalid, "deploy/patroni.yml has no shared_buffers");
    patroni.insert(at, "    dynamic_shared_memory_type: mmap\n");
  }
  TRY_DO(write_file(site.folder + "/patroni.yml", patroni, 0600));
  TRY(const auto bootstrap, fill_in_file("post-bootstrap.sh", v));
  TRY_DO(write_file(site.folder + "/post-bootstrap.sh", bootstrap, 0755));
  TRY(const auto config, fill_in_file("haechi.toml", v));
  TRY_DO(write_file(site.folder + "/haechi.toml", config));
  if (const auto user = user_of(site); user != 0) {
    TRY_DO(write_file(site.folder + "/passwd",
                      fmt::format("root:x:0:0:root:/:/bin/sh\npostgres:x:{0}:{0}::{1}:/bin/sh\n", user, site.folder)));
    TRY_DO(give(site.folder, user));
  }
  return {};
}

Result<> Sites::make_volume(const Site& site) {
  const std::string image = site.folder + "/pg.img";
  {
    const Fd file(open(image.c_str(), O_RDWR | O_CREAT | O_TRUNC | O_CLOEXEC, 0600));
    if (!file || ftruncate(file.get(), kVolumeBytes) != 0) return failed(image);
  }
  TRY_DO(run_quietly({"mkfs.ext4", "-q", "-F", "-m", "0", "-E", "lazy_itable_init=1,lazy_journal_init=1", image}));
  TRY_DO(mount_file(image, site.postgres_folder()));
  if (chmod(site.postgres_folder().c_str(), 0700) != 0) return failed(site.postgres_folder());
  return {};
}

Result<> Sites::write_spec(const Site& site) {
  const auto v = values(site);
  TRY(const auto etcd_env, fill_in_file("etcd.env", v));
  TRY(const auto patroni_env, fill_in_file("patroni.env", v));
  const bool apart = options_.ground == Ground::Namespaces;
  const auto user = user_of(site);
  SiteSpec spec{.name = site.name,
                .namespaces = apart,
                .user = user,
                .group = user,
                .folder = site.folder,
                .generation = generations_[static_cast<std::size_t>(site.index)]};
  if (apart) {
    TRY(const auto sysctls, fill_in_file("sysctl.conf", v));
    spec.sysctls = parse_environment(sysctls);
    spec.files_over = {{"/etc/hosts", options_.folder + "/hosts"},
                       {"/etc/resolv.conf", options_.folder + "/resolv.conf"}};
    if (user != 0) spec.files_over["/etc/passwd"] = site.folder + "/passwd";
  }
  spec.services.push_back({.name = "etcd",
                           .argv = {"/usr/bin/etcd"},
                           .environment = parse_environment(etcd_env),
                           .log = site.log("etcd"),
                           .nice = kEtcdNice});
  spec.services.push_back({.name = "patroni",
                           .argv = {"/usr/bin/patroni", site.folder + "/patroni.yml"},
                           .environment = parse_environment(patroni_env),
                           .log = site.log("patroni"),
                           .wait_for = {site.etcd() + "/health"},
                           .nice = kPatroniNice});
  std::vector<std::string> primaries;
  for (const auto& s : sites_) primaries.push_back(s.patroni() + "/primary");
  int number = 0;
  for (const auto& url : options_.nodes ? site.nodes() : std::vector<std::string>{}) {
    const auto node = fmt::format("node{}", ++number);
    spec.services.push_back(
        {.name = node,
         .argv = {program_, "serve", "--config", site.folder + "/haechi.toml", "--listen", url.substr(7), "--data",
                  site.folder + "/state" + std::to_string(number), "--no-rate-limits"},
         .environment = {},
         .log = site.log(node),
         .wait_for = primaries});
  }
  return write_file(site.folder + "/spec.json", to_text(to_json(spec)));
}

Result<> Sites::start(int index) {
  auto& site = (*this)[index];
  TRY_DO(write_spec(site));
  // A server that is switched on finds /run empty: no socket and no lock of its last life is there.
  std::error_code error;
  for (const auto& entry : fs::directory_iterator(site.folder + "/run", error)) fs::remove_all(entry.path(), error);
  ++generations_[static_cast<std::size_t>(index)];
  TRY(site.process, SiteProcess::start({.ground = options_.ground,
                                        .network_fd = network_ ? network_->namespace_fd(index) : -1,
                                        .program = program_,
                                        .spec = site.folder + "/spec.json",
                                        .log = site.log("init")}));
  site.frozen = false;
  return {};
}

Result<> Sites::kill(int index) {
  auto& site = (*this)[index];
  site.frozen = false;
  return site.process.kill();
}

Result<> Sites::freeze(int index) {
  auto& site = (*this)[index];
  site.frozen = true;
  return site.process.freeze();
}

void Sites::thaw(int index) {
  auto& site = (*this)[index];
  site.process.thaw();
  site.frozen = false;
}

Result<> Sites::wipe(int index) {
  auto& site = (*this)[index];
  free_shared_memory(site.postgres_folder() + "/data");
  std::error_code error;
  for (const auto& folder :
       {site.postgres_folder() + "/data", site.folder + "/etcd", site.folder + "/state1", site.folder + "/state2"}) {
    fs::remove_all(folder, error);
    if (error) return fail(Errc::Io, folder + ": " + error.message());
  }
  for (const char* name : {"/etcd", "/state1", "/state2"}) {
    TRY_DO(make_folder(site.folder + name, 0700));
    TRY_DO(give(site.folder + name, user_of(site)));
  }
  return {};
}

Result<> Sites::fill_volume(int index) {
  const std::string path = (*this)[index].postgres_folder() + kBallast;
  const Fd file(open(path.c_str(), O_WRONLY | O_CREAT | O_CLOEXEC, 0600));
  if (!file) return failed(path);
  struct statvfs free{};
  // Others write meanwhile: take what is there until nothing is.
  for (off_t taken = 0; statvfs(path.c_str(), &free) == 0 && free.f_bavail > 0;) {
    const auto left = static_cast<off_t>(free.f_bavail * free.f_frsize);
    for (off_t piece = left; piece >= 4096; piece /= 2) {
      if (fallocate(file.get(), 0, taken, piece) == 0) {
        taken += piece;
        break;
      }
      if (errno != ENOSPC) return failed(path);
      if (piece / 2 < 4096) return {};
    }
    if (left < 4096) break;
  }
  return {};
}

Result<> Sites::free_volume(int index) {
  const std::string path = (*this)[index].postgres_folder() + kBallast;
  if (unlink(path.c_str()) != 0 && errno != ENOENT) return failed(path);
  return {};
}

void Sites::set_etcd_state(int site, std::string state) {
  etcd_state_[static_cast<std::size_t>(site)] = std::move(state);
}

Place Sites::place() const {
  Place place{.server_name = "drill.test"};
  for (const auto& site : sites_) place.sites.push_back({.name = site.name, .nodes = site.nodes()});
  place.enter_network = [network = network_]() -> Result<> { return network ? network->enter(kClients) : Result<>{}; };
  return place;
}

}  // namespace haechi::drill

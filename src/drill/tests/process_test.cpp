#include "drill/process.hpp"

#include <doctest/doctest.h>
#include <fcntl.h>
#include <sys/wait.h>
#include <unistd.h>

#include <csignal>
#include <filesystem>
#include <fstream>

#include "drill/ground.hpp"
#include "drill/site_init.hpp"

namespace haechi::drill {
namespace {

using namespace std::chrono_literals;
namespace fs = std::filesystem;

struct Folder {
  std::string path = (fs::temp_directory_path() / "haechi-process-test-XXXXXX").string();
  Folder() { REQUIRE(mkdtemp(path.data())); }
  ~Folder() { fs::remove_all(path); }
};

bool eventually(const std::function<bool()>& holds) {
  for (int i = 0; i < 500; ++i) {
    if (holds()) return true;
    std::this_thread::sleep_for(10ms);
  }
  return false;
}

bool alive(pid_t pid) {
  const char state = process_state(pid);
  return state != '?' && state != 'Z' && state != 'X';
}

/// A site in a child of ours, without namespaces: what starts it is the program itself, which a test is not.
pid_t start_site(const Folder& folder, const std::string& script) {
  SiteSpec spec{.name = "t", .folder = folder.path};
  spec.services.push_back({.name = "service", .argv = {"/bin/sh", "-c", script}, .log = folder.path + "/log"});
  const std::string file = folder.path + "/spec.json";
  std::ofstream(file) << to_text(to_json(spec));
  const pid_t pid = fork();
  if (pid == 0) {
    const int log = open((folder.path + "/init.log").c_str(), O_WRONLY | O_CREAT, 0644);
    dup2(log, 2);
    _exit(run_site(file));
  }
  return pid;
}

}  // namespace

TEST_CASE("a site's first process starts its service again, adopts who left its session, and ends all when told") {
  const Folder folder;
  // The service leaves a process in a session of its own, as Patroni does, and ends.
  const pid_t site = start_site(folder, "setsid sleep 1000 & echo x >> starts; exit 3");
  CHECK(eventually([&] {
    std::ifstream starts(folder.path + "/starts");
    return std::count(std::istreambuf_iterator<char>(starts), {}, 'x') >= 2;
  }));
  const auto all = descendants_of(site);
  CHECK(all.size() >= 2);
  kill(site, SIGTERM);
  const auto status = wait_for(site, 10s);
  REQUIRE(status);
  CHECK(WIFEXITED(*status));
  for (const pid_t pid : all) CHECK_FALSE(alive(pid));
}

TEST_CASE("a site's first process reaps orphans") {
  const Folder folder;
  const pid_t site = start_site(folder, "sh -c 'sleep 0.05 & echo $! > orphan'; sleep 1000");
  std::int64_t orphan = 0;
  CHECK(eventually([&] { return bool(std::ifstream(folder.path + "/orphan") >> orphan); }));
  // Not even a zombie is left.
  CHECK(eventually([&] { return process_state(static_cast<pid_t>(orphan)) == '?'; }));
  kill(site, SIGTERM);
  CHECK(wait_for(site, 10s));
}

TEST_CASE("what a killed drill left is swept, what a living one holds is not") {
  const Folder parent;
  std::string left = parent.path + "/haechi-drill-left00";
  fs::create_directory(left);
  std::ofstream(left + "/lock") << "";
  const pid_t straggler = fork();
  if (straggler == 0) {
    if (chdir(left.c_str()) != 0) _exit(1);
    execl("/bin/sleep", "sleep", "1000", nullptr);
    _exit(1);
  }
  CHECK(eventually([&] { return fs::read_symlink("/proc/" + std::to_string(straggler) + "/cwd") == left; }));
  fs::create_directory(parent.path + "/something-else");
  {
    const auto living = DrillFolder::create(parent.path);
    REQUIRE(living);
    CHECK_FALSE(fs::exists(left));
    CHECK(wait_for(straggler, 5s));
    CHECK(sweep(parent.path) == 0);
    CHECK(fs::exists(living->path()));
  }
  CHECK(fs::exists(parent.path + "/something-else"));
  CHECK(std::distance(fs::directory_iterator(parent.path), {}) == 1);
}

}  // namespace haechi::drill

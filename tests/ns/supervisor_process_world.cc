#include "tests/ns/supervisor_process_world.h"

#include <dirent.h>
#include <fcntl.h>
#include <gtest/gtest.h>
#include <poll.h>
#include <signal.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/time.h>
#include <sys/wait.h>
#include <unistd.h>

#include <array>
#include <atomic>
#include <cstdlib>
#include <filesystem>
#include <fstream>
#include <sstream>

#include "base/child_process.h"
#include "base/counters.h"
#include "base/files.h"
#include "base/syscalls.h"
#include "supervisor/cgroup_host.h"

namespace bailey::supervisor {
namespace {

namespace fs = std::filesystem;
namespace json = boost::json;

constexpr std::array kApplets = {"sh",    "cat",   "ls",   "ps",    "id",       "sleep", "echo",
                                 "httpd", "kill",  "true", "false", "stty",     "tty",   "env",
                                 "touch", "mkdir", "rm",   "dd",    "mount",    "nc",    "wget",
                                 "test",  "pwd",   "head", "tail",  "hostname", "yes"};

std::string ReadText(const std::string& path) {
  const auto text = ReadFile(path, 4 << 20);
  return text ? *text : std::string();
}

std::string DrainFd(int fd) {
  std::string all;
  std::array<char, 4096> buffer;
  for (ssize_t n; (n = ::read(fd, buffer.data(), buffer.size())) > 0;)
    all.append(buffer.data(), static_cast<size_t>(n));
  return all;
}

// One line from a stream socket; the descriptors that come with it are added to `fds`.
std::string ReadLine(int socket, std::vector<UniqueFd>* fds) {
  std::string line;
  while (line.empty() || line.back() != '\n') {
    char byte = 0;
    iovec data{&byte, 1};
    alignas(cmsghdr) std::array<char, CMSG_SPACE(sizeof(int) * 8)> control{};
    msghdr header{};
    header.msg_iov = &data;
    header.msg_iovlen = 1;
    header.msg_control = control.data();
    header.msg_controllen = control.size();
    if (::recvmsg(socket, &header, MSG_CMSG_CLOEXEC) <= 0) return line;
    for (cmsghdr* c = CMSG_FIRSTHDR(&header); c != nullptr; c = CMSG_NXTHDR(&header, c)) {
      if (c->cmsg_type != SCM_RIGHTS) continue;
      const size_t count = (c->cmsg_len - CMSG_LEN(0)) / sizeof(int);
      for (size_t i = 0; i < count; ++i) {
        int fd = -1;
        std::memcpy(&fd, CMSG_DATA(c) + i * sizeof fd, sizeof fd);
        if (fds != nullptr) fds->emplace_back(fd);
      }
    }
    line += byte;
  }
  return line;
}

json::object ParseObject(const std::string& text) {
  json::error_code failed;
  json::value value = json::parse(text, failed);
  return !failed && value.is_object() ? value.get_object() : json::object();
}

void SetPatience(int socket) {
  const timeval patience{60, 0};
  ::setsockopt(socket, SOL_SOCKET, SO_RCVTIMEO, &patience, sizeof patience);
}

// Dead, and not ours to reap: the host's init takes its time.
bool IsZombie(const std::string& pid) {
  const std::string stat = ReadText("/proc/" + pid + "/stat");
  const size_t name_end = stat.rfind(')');
  return name_end == std::string::npos || stat.compare(name_end, 3, ") Z") == 0;
}

// A number that no other World of this machine has at the same time.
uint32_t UniqueNumber() {
  static std::atomic<uint32_t> worlds{0};
  return static_cast<uint32_t>(::getpid()) * 4 + worlds++ % 4;
}

std::string BinDirectory() {
  const char* bin = std::getenv("BAILEY_BIN");
  return bin != nullptr ? bin : ProgramDirectory();
}

}  // namespace

bool Eventually(const std::function<bool()>& condition, int seconds) {
  for (int i = 0; i < seconds * 50; ++i) {
    if (condition()) return true;
    ::usleep(20'000);
  }
  return condition();
}

World::World() {
  const uint32_t number = UniqueNumber();
  std::string pattern = "/tmp/bailey-supervisor-test-XXXXXX";
  dir_ = ::mkdtemp(pattern.data());
  ::chmod(dir_.c_str(), 0755);
  runtime_dir_ = dir_ + "/run";
  for (const char* sub : {"/run", "/lower", "/store", "/store/upper", "/store/work"})
    fs::create_directory(dir_ + sub);
  MakeRoot(dir_ + "/lower");
  config.name = "t" + std::to_string(number);
  config.hostname = "world";
  config.uid_base = 100'000'000 + number % 10'000 * 65536;
  config.ip = IpAddress::V4(0x7f4d0000 | (number & 0xffff));
  config.layers.lowers = {{dir_ + "/lower", {}}};
  config.layers.upper = dir_ + "/store/upper";
  config.layers.work = dir_ + "/store/work";
  config.process.start = {"/bin/sleep", "1000"};
  config.process.stop_timeout = std::chrono::milliseconds(3000);
  config.limits = {0, 256 << 20, 128, 0, false};
  config.cgroup = "bailey-test-" + std::to_string(number) + "/" + config.name;
  config.console_log = dir_ + "/console.log";
  config.network =
      json::serialize(json::object{{"tenant", config.name}, {"ip", config.ip.ToString()}});
  config.programs = BinDirectory();
}

World::~World() {
  if (Clear() != 0) ADD_FAILURE() << "cannot clear " << dir_;
  if (testing::Test::HasFailure())
    std::fprintf(stderr, "---- supervisor.log\n%s----\n",
                 ReadText(runtime_dir_ + "/supervisor.log").c_str());
  std::error_code ignored;
  fs::remove_all(dir_, ignored);
}

void World::MakeRoot(const std::string& root) const {
  for (const char* sub : {"bin", "etc", "www", "root", "proc", "sys", "dev", "run", "tmp", "srv"})
    fs::create_directory(root + "/" + sub);
  fs::copy_file("/bin/busybox", root + "/bin/busybox");
  for (const char* applet : kApplets) fs::create_symlink("busybox", root + "/bin/" + applet);
  std::ofstream(root + "/etc/passwd") << "root:x:0:0:root:/root:/bin/sh\n"
                                         "www:x:33:33:www:/www:/bin/sh\n";
  std::ofstream(root + "/etc/group") << "root:x:0:\nwww:x:33:\n";
  std::ofstream(root + "/www/index.html") << "a page of the tenant\n";
}

void World::ReplaceProgram(const std::string& name, const std::string& path) {
  const std::string programs = dir_ + "/programs";
  fs::create_directory(programs);
  for (const char* each : {"bailey-fs", "bailey-netproxy", "bailey-init"})
    fs::create_symlink(each == name ? fs::path(path) : fs::path(BinDirectory()) / each,
                       fs::path(programs) / each);
  config.programs = programs;
}

int World::Spawn(std::vector<std::string> extra, std::string* output) const {
  const UniqueFd file(::memfd_create("config", MFD_CLOEXEC));
  EXPECT_TRUE(WriteAll(file.get(), FormatTenantConfig(config)));
  std::array<int, 2> pipe{};
  EXPECT_EQ(::pipe2(pipe.data(), O_CLOEXEC), 0);
  const UniqueFd read_end(pipe[0]);
  UniqueFd write_end(pipe[1]);
  ChildOptions options;
  options.argv = {BinDirectory() + "/bailey-supervisor", "--runtime", runtime_dir_, "--config-fd",
                  "3"};
  options.argv.insert(options.argv.end(), extra.begin(), extra.end());
  for (char** each = environ; *each != nullptr; ++each) options.env.emplace_back(*each);
  options.fds = {{file.get(), 3}, {write_end.get(), 2}};
  const auto child = SpawnChild(options);
  EXPECT_TRUE(child) << child.error().Message();
  if (!child) return -1;
  write_end.Reset();
  const std::string said = DrainFd(read_end.get());
  if (output != nullptr) *output = said;
  int status = 0;
  ::waitpid(child->pid, &status, 0);
  if (status != 0 && output == nullptr) std::fprintf(stderr, "%s", said.c_str());
  return WEXITSTATUS(status);
}

json::object World::Start() const {
  EXPECT_EQ(Spawn(), 0);
  return Ask({{"op", "wait"}, {"for", "running"}});
}

json::object World::Ask(const json::object& request, const std::vector<int>& fds,
                        std::vector<UniqueFd>* received) const {
  const auto socket = ConnectTo(runtime_dir_ + "/control.sock");
  if (!socket) return {};
  SetPatience(socket->get());
  if (!SendMessage(socket->get(), json::serialize(request), fds)) return {};
  auto reply = ReceiveMessage(socket->get());
  if (!reply) return {};
  if (received != nullptr) *received = std::move(reply->fds);
  return ParseObject(reply->text);
}

json::object World::Stop() const {
  const pid_t supervisor = SupervisorPid();
  if (supervisor <= 0) return {};
  // Not by kill(2): who has adopted it may take its time to reap it.
  const UniqueFd pidfd(sys::PidfdOpen(supervisor));
  json::object reply = Ask({{"op", "stop"}});
  pollfd ended{pidfd.get(), POLLIN, 0};
  EXPECT_EQ(::poll(&ended, 1, 15'000), 1) << "the supervisor stays";
  return reply;
}

Session World::Open(json::object request, int program) const {
  Session session;
  std::array<int, 2> pair{};
  EXPECT_EQ(::socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, pair.data()), 0);
  session.socket.Reset(pair[0]);
  const UniqueFd theirs(pair[1]);
  SetPatience(pair[0]);
  request["op"] = "exec";
  std::vector<int> fds = {theirs.get()};
  if (program >= 0) fds.push_back(program);
  const json::object reply = Ask(request, fds);
  const json::value* ok = reply.if_contains("ok");
  EXPECT_TRUE(ok != nullptr && *ok == true) << reply;
  if (ok == nullptr || *ok != true) return session;
  const json::object hello = ParseObject(ReadLine(pair[0], &session.ends));
  session.pid = json::value_to<pid_t>(hello.at("pid"));
  return session;
}

void Session::Signal(int signal) const {
  EXPECT_TRUE(WriteAll(socket.get(), "{\"signal\":" + std::to_string(signal) + "}\n"));
}

ExecResult Session::Finish() {
  ExecResult result;
  if (ends.size() == 3) {
    ends[0].Reset();
    result.output = DrainFd(ends[1].get());
    result.error = DrainFd(ends[2].get());
  } else if (ends.size() == 1) {
    result.output = DrainFd(ends[0].get());
  }
  const json::object last = ParseObject(ReadLine(socket.get(), nullptr));
  const json::value* exit = last.if_contains("exit");
  EXPECT_NE(exit, nullptr) << "no exit line";
  if (exit != nullptr) result.exit = json::value_to<int>(*exit);
  if (const json::value* note = last.if_contains("error"); note != nullptr)
    result.note = json::value_to<std::string>(*note);
  return result;
}

ExecResult World::Exec(const std::vector<std::string>& argv) const {
  return Open({{"argv", json::value_from(argv)}, {"env", json::array{"PATH=/bin"}}}).Finish();
}

pid_t World::SupervisorPid() const {
  for (const auto& entry : fs::directory_iterator("/proc")) {
    const std::string pid = entry.path().filename();
    if (pid.find_first_not_of("0123456789") != std::string::npos) continue;
    const std::string command = ReadText("/proc/" + pid + "/cmdline");
    if (command.find("/bailey-supervisor") != std::string::npos &&
        command.find(runtime_dir_) != std::string::npos)
      return std::stoi(pid);
  }
  return -1;
}

pid_t World::ServerPid(const std::string& name) const {
  const auto host = CgroupHost::Detect();
  for (const char* group : {"/servers", "/tenant"}) {
    std::istringstream pids(ReadText(host->Unified(config.cgroup + group) + "/cgroup.procs"));
    for (std::string pid; pids >> pid;)
      if (ReadText("/proc/" + pid + "/cmdline").find(name) != std::string::npos)
        return std::stoi(pid);
  }
  return -1;
}

uint64_t World::Counter(int page, size_t index) const {
  std::vector<UniqueFd> pages;
  Ask({{"op", "counters"}}, {}, &pages);
  EXPECT_EQ(pages.size(), 5U);
  if (pages.size() != 5) return 0;
  uint64_t value = 0;
  EXPECT_EQ(::pread(pages[static_cast<size_t>(page)].get(), &value, sizeof value,
                    static_cast<off_t>(index * sizeof value)),
            static_cast<ssize_t>(sizeof value));
  return value;
}

std::string World::Fetch(uint16_t port) const {
  sockaddr_storage address{};
  const Endpoint endpoint{config.ip, port};
  const socklen_t length = endpoint.ToSockaddr(&address);
  const UniqueFd socket(::socket(config.ip.family(), SOCK_STREAM | SOCK_CLOEXEC, 0));
  SetPatience(socket.get());
  if (::connect(socket.get(), reinterpret_cast<sockaddr*>(&address), length) != 0) return {};
  if (!WriteAll(socket.get(), "GET /index.html HTTP/1.0\r\n\r\n")) return {};
  return DrainFd(socket.get());
}

std::string World::Console() const { return ReadText(config.console_log); }

std::vector<std::string> World::Leftovers() const {
  std::vector<std::string> left;
  std::istringstream mounts(ReadText("/proc/self/mountinfo"));
  for (std::string line; std::getline(mounts, line);)
    if (line.find(dir_) != std::string::npos) left.push_back("mount " + line);
  const auto host = CgroupHost::Detect();
  const std::string instance = config.cgroup.substr(0, config.cgroup.find('/'));
  std::vector<std::string> groups = {host->Unified(instance)};
  for (const Controller each : kControllers) groups.push_back(host->Of(each, instance));
  for (const std::string& group : groups)
    if (fs::exists(group)) left.push_back("cgroup " + group);
  for (const auto& entry : fs::directory_iterator("/proc")) {
    const std::string pid = entry.path().filename();
    if (pid.find_first_not_of("0123456789") != std::string::npos) continue;
    if (IsZombie(pid)) continue;
    struct stat owner {};
    const bool theirs = ::stat(entry.path().c_str(), &owner) == 0 &&
                        owner.st_uid >= config.uid_base && owner.st_uid < config.uid_base + 65536;
    const std::string command = ReadText("/proc/" + pid + "/cmdline");
    const bool ours =
        command.find("/bailey-") != std::string::npos && command.find(dir_) != std::string::npos;
    if (theirs || ours)
      left.push_back(std::string("process ").append(pid).append(" ").append(command));
  }
  if (fs::exists(runtime_dir_ + "/control.sock")) left.emplace_back("control.sock");
  if (fs::exists(runtime_dir_ + "/root")) left.emplace_back("mount point");
  std::array<char, 16> address{};
  std::snprintf(address.data(), address.size(), "%08X:", htonl(config.ip.v4()));
  std::istringstream sockets(ReadText("/proc/net/tcp"));
  for (std::string line; std::getline(sockets, line);)  // state 0A: LISTEN
    if (line.find(address.data()) != std::string::npos && line.find(" 0A ") != std::string::npos)
      left.push_back("listener " + line);
  return left;
}

}  // namespace bailey::supervisor

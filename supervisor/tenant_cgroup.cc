#include "supervisor/tenant_cgroup.h"

#include <fcntl.h>
#include <poll.h>
#include <sys/stat.h>
#include <unistd.h>

#include <charconv>
#include <cmath>
#include <optional>

#include "base/files.h"

namespace bailey::supervisor {
namespace {

constexpr int64_t kPeriodMicroseconds = 100'000;  // the kernel's own default for cpu quotas
constexpr int64_t kV1Unlimited = 0x7ffffffffffff000;
using Clock = std::chrono::steady_clock;

Status MakeGroup(const std::string& path) {
  if (::mkdir(path.c_str(), 0755) == 0 || errno == EEXIST) return {};
  return Errno("mkdir " + path);
}

std::optional<int64_t> FirstNumber(const std::string& text) {
  int64_t number = 0;
  const auto [end, failed] = std::from_chars(text.data(), text.data() + text.size(), number);
  if (failed != std::errc()) return std::nullopt;
  return number;
}

// Writes a control and checks that the kernel holds it. `tolerance`: what it may round off.
Status Enforce(const std::string& path, const std::string& text, int64_t tolerance = 0) {
  BAILEY_TRY(WriteControl(path, text));
  const auto held = ReadFile(path);
  if (!held) return held.error();
  const auto wanted = FirstNumber(text), got = FirstNumber(*held);
  const bool same = wanted && got ? std::abs(*wanted - *got) <= tolerance
                                  : held->starts_with(text.substr(0, text.find(' ')));
  // "-1" on v1 memory files reads back as a very large number.
  const bool unlimited = wanted && *wanted < 0 && got && (*got < 0 || *got >= kV1Unlimited);
  if (same || unlimited) return {};
  return Errno("read back " + path + " after writing " + text, EIO);
}

std::string OrMax(uint64_t limit) { return limit == 0 ? "max" : std::to_string(limit); }

int64_t PageSize() { return ::sysconf(_SC_PAGESIZE); }

// A dying task may keep a v1 group busy for a moment after v2 has called it empty.
Status RemoveGroup(const std::string& path) {
  for (int attempt = 0;; ++attempt) {
    if (::rmdir(path.c_str()) == 0 || errno == ENOENT) return {};
    if (errno != EBUSY || attempt == 200) return Errno("rmdir " + path);
    ::usleep(attempt < 50 ? 200 : 5'000);
  }
}

}  // namespace

Result<TenantCgroup> TenantCgroup::Create(const CgroupHost& host, const std::string& name) {
  // Another tenant's end may take the instance's empty directory away under our feet.
  for (int attempt = 0;; ++attempt) {
    auto group = TryCreate(host, name);
    if (group || group.error().Errno() != ENOENT || attempt == 20) return group;
  }
}

Result<TenantCgroup> TenantCgroup::TryCreate(const CgroupHost& host, const std::string& name) {
  TenantCgroup group(host, name);
  const std::string instance = name.substr(0, name.find('/'));
  BAILEY_TRY(MakeGroup(host.Unified(instance)));
  for (const Controller controller : kControllers)
    if (host.IsV1(controller)) BAILEY_TRY(MakeGroup(host.Of(controller, instance)));
  BAILEY_TRY(MakeGroup(host.Unified(name)));
  BAILEY_TRY(group.EnableControllers());
  for (const std::string& directory : group.Directories()) BAILEY_TRY(MakeGroup(directory));
  for (auto [path, fd] : {std::pair{"/tenant", &group.tenant_}, {"/servers", &group.servers_}}) {
    auto opened = OpenPath(host.Unified(name + path), O_RDONLY | O_DIRECTORY);
    if (!opened) return opened.error();
    *fd = std::move(*opened);
  }
  return group;
}

TenantCgroup TenantCgroup::Existing(const CgroupHost& host, const std::string& name) {
  return {host, name};
}

// A controller works in a group only if its parent hands it down: from the root to NAME.
Status TenantCgroup::EnableControllers() const {
  std::string wanted;
  for (const Controller controller : kControllers)
    if (!host_.IsV1(controller))
      wanted += std::string(wanted.empty() ? "+" : " +") + ControllerName(controller);
  if (host_.CountsIo()) wanted += wanted.empty() ? "+io" : " +io";
  if (wanted.empty()) return {};
  for (const std::string& group : {std::string("."), name_.substr(0, name_.find('/')), name_}) {
    Status enabled = WriteControl(host_.Unified(group) + "/cgroup.subtree_control", wanted);
    if (!enabled)
      return enabled.error().WithHint(
          "a parent group must delegate cpu, memory and pids, and hold "
          "no processes of its own");
  }
  return {};
}

std::vector<std::string> TenantCgroup::Directories() const {
  std::vector<std::string> all;
  const auto add = [&](const std::string& path) {
    for (const std::string& have : all)
      if (have == path) return;  // v1 hierarchies may hold several controllers
    all.push_back(path);
  };
  for (const char* group : {"", "/tenant", "/servers"}) {
    add(host_.Unified(name_ + group));
    for (const Controller controller : kControllers)
      if (host_.IsV1(controller)) add(host_.Of(controller, name_ + group));
  }
  return all;
}

std::vector<std::string> TenantCgroup::Tasks(const std::string& group) const {
  std::vector<std::string> files;
  for (const Controller controller : kControllers) {
    if (!host_.IsV1(controller)) continue;
    std::string file = host_.Of(controller, name_ + group) + "/tasks";
    bool known = false;
    for (const std::string& have : files) known = known || have == file;
    if (!known) files.push_back(std::move(file));
  }
  return files;
}

Status TenantCgroup::SetCpu(double cores) const {
  const std::string dir = host_.Of(Controller::kCpu, name_);
  const auto quota = static_cast<int64_t>(std::llround(cores * kPeriodMicroseconds));
  if (host_.IsV1(Controller::kCpu))
    return Enforce(dir + "/cpu.cfs_quota_us", cores > 0 ? std::to_string(quota) : "-1");
  const std::string period = " " + std::to_string(kPeriodMicroseconds);
  return Enforce(dir + "/cpu.max", (cores > 0 ? std::to_string(quota) : "max") + period);
}

Status TenantCgroup::SetMemory(const Limits& limits) const {
  const std::string dir = host_.Of(Controller::kMemory, name_ + "/tenant");
  const uint64_t bytes = limits.memory_bytes;
  if (!host_.IsV1(Controller::kMemory)) {
    BAILEY_TRY(Enforce(dir + "/memory.max", OrMax(bytes), PageSize()));
    // Absent where the kernel was built without swap.
    if (::access((dir + "/memory.swap.max").c_str(), F_OK) == 0)
      BAILEY_TRY(Enforce(dir + "/memory.swap.max", bytes == 0 ? "max" : "0"));
    return Enforce(dir + "/memory.oom.group", limits.oom_group ? "1" : "0");
  }
  const std::string value = bytes == 0 ? "-1" : std::to_string(bytes);
  const std::string memory = dir + "/memory.limit_in_bytes";
  const std::string with_swap = dir + "/memory.memsw.limit_in_bytes";
  if (::access(with_swap.c_str(), F_OK) != 0) return Enforce(memory, value, PageSize());
  // limit ≤ memsw must hold at every moment: EINVAL tells that we go up, not down.
  if (Status lowered = Enforce(memory, value, PageSize()); !lowered) {
    if (lowered.error().Errno() != EINVAL) return lowered;
    BAILEY_TRY(Enforce(with_swap, value, PageSize()));
    return Enforce(memory, value, PageSize());
  }
  return Enforce(with_swap, value, PageSize());
}

// What the servers hold for a tenant grows with what the tenant may hold itself.
Status TenantCgroup::SetServersMemory(uint64_t tenants_bytes) const {
  const bool v1 = host_.IsV1(Controller::kMemory);
  const std::string none = v1 ? "-1" : "max";
  return Enforce(host_.Of(Controller::kMemory, name_ + "/servers") +
                     (v1 ? "/memory.limit_in_bytes" : "/memory.max"),
                 tenants_bytes == 0 ? none : std::to_string(tenants_bytes + kServersMemory),
                 PageSize());
}

Status TenantCgroup::SetLimits(const Limits& limits) const {
  BAILEY_TRY(SetCpu(limits.cpu));
  BAILEY_TRY(SetMemory(limits));
  BAILEY_TRY(SetServersMemory(limits.memory_bytes));
  return Enforce(host_.Of(Controller::kPids, name_ + "/tenant") + "/pids.max", OrMax(limits.pids));
}

Result<Limits> TenantCgroup::ReadLimits() const {
  Limits held;
  const auto read = [](const std::string& path) -> Result<int64_t> {
    const auto text = ReadFile(path);
    if (!text) return text.error();
    const int64_t number = FirstNumber(*text).value_or(0);  // "max"
    return number < 0 || number >= kV1Unlimited ? 0 : number;
  };
  const bool v1_cpu = host_.IsV1(Controller::kCpu), v1_memory = host_.IsV1(Controller::kMemory);
  const auto quota =
      read(host_.Of(Controller::kCpu, name_) + (v1_cpu ? "/cpu.cfs_quota_us" : "/cpu.max"));
  const auto memory = read(host_.Of(Controller::kMemory, name_ + "/tenant") +
                           (v1_memory ? "/memory.limit_in_bytes" : "/memory.max"));
  const auto pids = read(host_.Of(Controller::kPids, name_ + "/tenant") + "/pids.max");
  for (const auto* each : {&quota, &memory, &pids})
    if (!*each) return each->error();
  held.cpu = static_cast<double>(*quota) / kPeriodMicroseconds;
  held.memory_bytes = static_cast<uint64_t>(*memory);
  held.pids = static_cast<uint64_t>(*pids);
  return held;
}

Status TenantCgroup::Freeze(bool frozen) const {
  return WriteControl(host_.Unified(name_) + "/tenant/cgroup.freeze", frozen ? "1" : "0");
}

Status TenantCgroup::Kill(const std::string& group) const {
  return WriteControl(host_.Unified(name_ + group) + "/cgroup.kill", "1");
}

std::vector<pid_t> TenantCgroup::Members(const char* file) const {
  std::vector<pid_t> pids;
  const auto text = ReadFile(host_.Unified(name_) + "/tenant/" + file);
  if (!text) return pids;
  for (const char *at = text->data(), *end = at + text->size(); at < end; ++at) {
    pid_t pid = 0;
    at = std::from_chars(at, end, pid).ptr;
    if (pid > 0) pids.push_back(pid);
  }
  return pids;
}

bool TenantCgroup::TenantEvent(const char* event) const {
  const auto events = ReadFile(host_.Unified(name_) + "/tenant/cgroup.events");
  return events && events->find(event) != std::string::npos;
}

Status TenantCgroup::AwaitEmpty(const std::string& group, std::chrono::milliseconds at_most) const {
  const std::string path = host_.Unified(name_ + group) + "/cgroup.events";
  const auto fd = OpenPath(path, O_RDONLY);
  if (!fd) return fd.error().Errno() == ENOENT ? Status() : fd.error();
  const auto deadline = Clock::now() + at_most;
  for (;;) {
    // Read before poll: kernfs tells of changes since the last read.
    const auto events = ReadAll(fd->get());
    if (!events) return events.error().Errno() == ENODEV ? Status() : events.error();
    if (events->find("populated 0") != std::string::npos) return {};
    const auto left = std::chrono::ceil<std::chrono::milliseconds>(deadline - Clock::now()).count();
    if (left <= 0) return Errno("wait until " + name_ + group + " is empty", ETIMEDOUT);
    pollfd waiting{fd->get(), POLLPRI, 0};
    ::poll(&waiting, 1, static_cast<int>(left));
    ::lseek(fd->get(), 0, SEEK_SET);
  }
}

Status TenantCgroup::AwaitTenantEmpty(std::chrono::milliseconds at_most) const {
  return AwaitEmpty("/tenant", at_most);
}

Status TenantCgroup::AwaitServersEmpty(std::chrono::milliseconds at_most) const {
  return AwaitEmpty("/servers", at_most);
}

Status TenantCgroup::Remove() const {
  const auto directories = Directories();
  Status result;
  for (auto each = directories.rbegin(); each != directories.rend(); ++each)
    if (Status removed = RemoveGroup(*each); !removed && result) result = removed;
  // The instance's own groups go with its last tenant; EBUSY and ENOTEMPTY: others live.
  const std::string instance = name_.substr(0, name_.find('/'));
  ::rmdir(host_.Unified(instance).c_str());
  for (const Controller controller : kControllers)
    if (host_.IsV1(controller)) ::rmdir(host_.Of(controller, instance).c_str());
  return result;
}

}  // namespace bailey::supervisor

#include "tenants/templates/build_process.h"

#include <fcntl.h>
#include <poll.h>
#include <sched.h>
#include <signal.h>
#include <sys/file.h>
#include <sys/mman.h>
#include <sys/mount.h>
#include <sys/prctl.h>
#include <sys/signalfd.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include <array>
#include <boost/json.hpp>
#include <chrono>
#include <ctime>

#include "base/files.h"
#include "base/log.h"
#include "base/syscalls.h"
#include "tenants/templates/remove_tree.h"
#include "tenants/templates/root_builders.h"

namespace bailey::tenants {
namespace {

namespace json = boost::json;

// $STATE/templates/.building-NAME-XXXXXX/1/{root/,template.json}: the whole of templates/NAME, so
// that one rename publishes it. The lock tells a starting daemon that somebody is at work.
class BuildingDirectory {
 public:
  static Result<BuildingDirectory> Create(const std::string& state_dir, const std::string& name) {
    const std::string templates = state_dir + "/templates";
    // 0700: set-user-id programs of a template are no business of the host's users.
    BAILEY_TRY(MakeDirectories(templates, 0700));
    std::string path = templates + "/.building-" + name + "-XXXXXX";
    if (::mkdtemp(path.data()) == nullptr) return Errno("mkdtemp " + path);
    BuildingDirectory made(templates, path);
    auto lock = OpenPath(path, O_RDONLY | O_DIRECTORY);
    if (!lock) return lock.error();
    made.lock_ = std::move(*lock);
    if (::flock(made.lock_.get(), LOCK_EX | LOCK_NB) != 0) return Errno("flock " + path);
    BAILEY_TRY(MakeDirectories(made.root(), 0755));
    if (::chmod(made.root().c_str(), 0755) != 0) return Errno("chmod " + made.root());
    return made;
  }
  BuildingDirectory(BuildingDirectory&& other) noexcept = default;
  BuildingDirectory& operator=(BuildingDirectory&&) = delete;
  ~BuildingDirectory() {
    if (!lock_) return;
    const Status removed = RemoveTree(path_);
    if (!removed) LogError("cannot remove " + path_ + ": " + removed.error().Message());
  }

  std::string root() const { return path_ + "/1/root"; }

  // Everything on disk first, then the name.
  Result<Template> Publish(Template made) {
    BAILEY_TRY(ReplaceFile(path_ + "/1/template.json", made.ToJson() + "\n", 0644));
    if (::syncfs(lock_.get()) != 0) return Errno("syncfs");
    const std::string final = templates_ + "/" + made.name;
    if (::renameat2(AT_FDCWD, path_.c_str(), AT_FDCWD, final.c_str(), RENAME_NOREPLACE) != 0)
      return Errno("template " + made.name).WithHint("bailey template ls shows those that exist");
    lock_.Reset();
    auto directory = OpenPath(templates_, O_RDONLY | O_DIRECTORY);
    if (!directory || ::fsync(directory->get()) != 0) return Errno("fsync " + templates_);
    made.directory = final + "/1";
    return made;
  }

 private:
  BuildingDirectory(std::string templates, std::string path)
      : templates_(std::move(templates)), path_(std::move(path)) {}
  std::string templates_, path_;
  UniqueFd lock_;
};

void WriteLine(int output, const json::object& object) {
  // A reader that has gone is noticed by the watcher; nothing is lost that anybody waits for.
  [[maybe_unused]] const Status written = WriteAll(output, json::serialize(object) + "\n");
}

const char* CodeOf(int number) {
  switch (number) {
    case EEXIST:
      return "exists";
    case EINVAL:
      return "usage";
    case EBUSY:
      return "in_use";
    case ENOSPC:
    case EDQUOT:
      return "limit";
    default:
      return "failed";
  }
}

void WriteError(int output, const Error& error) {
  json::object body{{"code", CodeOf(error.Errno())}, {"message", error.Message()}};
  if (!error.hint.empty()) body["hint"] = error.hint;
  WriteLine(output, {{"error", std::move(body)}});
}

std::string Now() {
  const std::time_t now = std::time(nullptr);
  std::tm utc{};
  ::gmtime_r(&now, &utc);
  std::array<char, 32> text{};
  return {text.data(), std::strftime(text.data(), text.size(), "%Y-%m-%dT%H:%M:%SZ", &utc)};
}

Status Fill(const RootBuild& build, Template* made) {
  switch (build.request.kind) {
    case TemplateKind::kBusybox:
      return BuildBusyboxRoot(build, made);
    case TemplateKind::kHost:
      return BuildHostRoot(build, made);
    case TemplateKind::kDebootstrap:
      return BuildDebootstrapRoot(build, made);
    case TemplateKind::kTar:
      return BuildTarRoot(build, made);
  }
  return Invalid("unknown kind of template");
}

// The worker: PID 1 of its pid namespace. Its result is a template or an error, as JSON in a memfd.
Status Work(RootBuild build, int output, const std::string& root_path, Template* made) {
  if (::mount(nullptr, "/", nullptr, MS_REC | MS_PRIVATE, nullptr) != 0) return Errno("mount");
  auto root = OpenPath(root_path, O_RDONLY | O_DIRECTORY);
  if (!root) return root.error();
  build.root = root->get();
  build.root_path = root_path;
  build.progress = [output](std::string_view text, int percent) {
    WriteLine(output, {{"progress", {{"text", text}, {"percent", percent}}}});
  };
  return Fill(build, made);
}

[[noreturn]] void RunWorker(const RootBuild& build, int gate, int output, int result,
                            const std::string& root_path) {
  // If the parent died before PDEATHSIG was set, the gate never opens.
  char go = 0;
  if (::prctl(PR_SET_PDEATHSIG, SIGKILL) != 0 || ::read(gate, &go, 1) != 1) ::_exit(2);
  ::umask(022);
  Template made;
  const Status done = Work(build, output, root_path, &made);
  json::object answer;
  if (done) {
    answer["template"] = json::parse(made.ToJson());
  } else {
    answer = {{"errno", done.error().code.value()},  // 0: a person's mistake
              {"context", done.error().context},
              {"hint", done.error().hint}};
  }
  ::_exit(WriteAll(result, json::serialize(answer)) ? 0 : 2);
}

Result<Template> ReadResult(int result) {
  if (::lseek(result, 0, SEEK_SET) != 0) return Errno("lseek");
  auto text = ReadAll(result, 64 << 20);
  if (!text) return text.error();
  if (text->empty()) return Errno("the builder's worker ended without a result", EIO);
  try {
    const json::value parsed = json::parse(*text);
    const json::object& answer = parsed.as_object();
    if (const json::value* made = answer.if_contains("template"))
      return Template::FromJson(json::serialize(*made));
    const int number = json::value_to<int>(answer.at("errno"));
    return Error{{number, std::generic_category()},
                 json::value_to<std::string>(answer.at("context")),
                 json::value_to<std::string>(answer.at("hint"))};
  } catch (const std::exception& failure) {
    return Invalid(std::string("the builder's result is damaged: ") + failure.what());
  }
}

// Waits for the worker. False when the work is to be given up: a signal, or nobody listens.
bool WaitForWorker(int pidfd, int signals, int output) {
  for (;;) {
    std::array<pollfd, 3> watched = {pollfd{pidfd, POLLIN, 0}, pollfd{signals, POLLIN, 0},
                                     pollfd{output, 0, 0}};
    if (::poll(watched.data(), watched.size(), -1) < 0 && errno == EINTR) continue;
    if (watched[0].revents != 0) return true;
    if (watched[1].revents != 0 || watched[2].revents != 0) return false;
  }
}

struct Worker {
  pid_t pid = -1;
  UniqueFd pidfd, gate;
};

Result<Worker> StartWorker(const RootBuild& build, int output, int result,
                           const std::string& root_path) {
  std::array<int, 2> gate{};
  if (::pipe2(gate.data(), O_CLOEXEC) != 0) return Errno("pipe2");
  const UniqueFd gate_read(gate[0]);
  Worker worker;
  worker.gate.Reset(gate[1]);
  int pidfd = -1;
  clone_args args{};
  args.flags = CLONE_PIDFD | CLONE_NEWPID | CLONE_NEWNS | CLONE_NEWIPC;
  // Only debootstrap has anything to fetch.
  if (build.request.kind != TemplateKind::kDebootstrap) args.flags |= CLONE_NEWNET;
  args.pidfd = reinterpret_cast<uint64_t>(&pidfd);
  args.exit_signal = SIGCHLD;
  worker.pid = sys::Clone3(args);
  if (worker.pid < 0) return Errno("clone3");
  if (worker.pid == 0) {
    worker.gate.Reset();
    RunWorker(build, gate_read.get(), output, result, root_path);
  }
  worker.pidfd.Reset(pidfd);
  return worker;
}

Result<Template> BuildInWorker(const RootBuild& build, int output, int signals,
                               const std::string& root_path) {
  const UniqueFd result(::memfd_create("template-result", MFD_CLOEXEC));
  if (!result) return Errno("memfd_create");
  auto worker = StartWorker(build, output, result.get(), root_path);
  if (!worker) return worker.error();
  BAILEY_TRY(WriteAll(worker->gate.get(), "g"));
  const bool ended = WaitForWorker(worker->pidfd.get(), signals, output);
  // Its end is that of everything in its pid namespace; waitpid returns after all of them.
  if (!ended) sys::PidfdSendSignal(worker->pidfd.get(), SIGKILL);
  while (::waitpid(worker->pid, nullptr, 0) < 0 && errno == EINTR) {
  }
  if (!ended) return Errno("cancelled", ECANCELED);
  return ReadResult(result.get());
}

Result<Template> Build(const std::string& state_dir, const RootBuild& build, int output,
                       int signals) {
  auto directory = BuildingDirectory::Create(state_dir, build.request.name);
  if (!directory) return directory.error();
  auto made = BuildInWorker(build, output, signals, directory->root());
  if (!made) return made.error();
  made->name = build.request.name;
  made->generation = 1;
  made->kind = KindName(build.request.kind);
  made->created = Now();
  auto root = OpenPath(directory->root(), O_RDONLY | O_DIRECTORY);
  if (!root) return root.error();
  const auto use = MeasureTree(root->get(), kLongWalk);
  if (!use) return use.error();
  if (use->complete) made->use = *use;
  return directory->Publish(std::move(*made));
}

}  // namespace

int RunTemplateBuild(const std::string& state_dir, const TemplateRequest& request, int output,
                     const std::string& host) {
  ::umask(022);
  ::signal(SIGPIPE, SIG_IGN);
  sigset_t ending;
  ::sigemptyset(&ending);
  for (const int number : {SIGTERM, SIGINT, SIGHUP}) ::sigaddset(&ending, number);
  ::sigprocmask(SIG_BLOCK, &ending, nullptr);
  const UniqueFd signals(::signalfd(-1, &ending, SFD_CLOEXEC));
  RootBuild build;
  build.request = request;
  build.host = host;
  Result<Template> made = Build(state_dir, build, output, signals.get());
  if (!made) {
    WriteError(output, made.error());
    return 1;
  }
  json::array items;
  items.push_back(json::parse(made->ToJson()));
  WriteLine(output,
            {{"apiVersion", "bailey/v1"}, {"kind", "Template"}, {"items", std::move(items)}});
  return 0;
}

}  // namespace bailey::tenants

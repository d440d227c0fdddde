// A tenant of the real bailey-supervisor in a scratch world: a busybox root, a runtime directory,
// a cgroup instance, an address of 127.77/16 and an id range, none of which another test has. What
// it leaves on the host can be listed, and is cleared when the world ends.
#pragma once

#include <sys/types.h>

#include <boost/json.hpp>
#include <functional>
#include <string>
#include <vector>

#include "base/message.h"
#include "base/result.h"
#include "base/unique_fd.h"
#include "supervisor/tenant_config.h"

namespace bailey::supervisor {

struct ExecResult {
  int exit = -1;
  std::string output, error, note;  // note: the session's "error"
};

// One end of an exec session, as the command line would hold it.
struct Session {
  pid_t pid = -1;
  UniqueFd socket;
  std::vector<UniqueFd> ends;  // [master] or [stdin, stdout, stderr]
  void Signal(int signal) const;
  // Waits for the exit line; `output` and `error` are read to their end.
  ExecResult Finish();
};

class World {
 public:
  World();
  ~World();
  World(const World&) = delete;
  World& operator=(const World&) = delete;

  TenantConfig config;  // change it before Start()
  // The supervisor finds `path` where it looks for one of its programs.
  void ReplaceProgram(const std::string& name, const std::string& path);

  // The supervisor's own exit code: 0 once it serves its control socket. `output`: its stderr.
  int Spawn(std::vector<std::string> extra = {}, std::string* output = nullptr) const;
  int Clear() const { return Spawn({"--clear"}); }
  // Spawn, and wait until it runs: the status.
  boost::json::object Start() const;
  // One request on a connection of its own; {} if nobody answers.
  boost::json::object Ask(const boost::json::object& request, const std::vector<int>& fds = {},
                          std::vector<UniqueFd>* received = nullptr) const;
  boost::json::object Status() const { return Ask({{"op", "status"}}); }
  // After a stop, until the supervisor is gone.
  boost::json::object Stop() const;

  Session Open(boost::json::object request, int program = -1) const;
  ExecResult Exec(const std::vector<std::string>& argv) const;
  ExecResult Shell(const std::string& script) const { return Exec({"/bin/sh", "-c", script}); }

  // Processes of the tenant's, of its servers and its supervisor, by their command's name.
  pid_t ServerPid(const std::string& name) const;
  pid_t SupervisorPid() const;
  uint64_t Counter(int page, size_t index) const;
  // An HTTP page of the tenant's, fetched from the host; "" when nobody serves.
  std::string Fetch(uint16_t port = 80) const;
  std::string Console() const;

  // Everything of this world that the host still holds: mounts, cgroups, processes, listeners,
  // addresses. Empty when nothing is left.
  std::vector<std::string> Leftovers() const;

  const std::string& runtime_dir() const { return runtime_dir_; }
  const std::string& upper() const { return config.layers.upper; }

 private:
  void MakeRoot(const std::string& root) const;
  std::string dir_, runtime_dir_;
};

// Tries `condition` for some seconds.
bool Eventually(const std::function<bool()>& condition, int seconds = 15);

}  // namespace bailey::supervisor

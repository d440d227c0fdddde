// DoctorJob: runs `bailey doctor -o json` and takes its answer. The examination tries things out
// (mounts, namespaces, BPF programs) that the daemon itself had better not do.
#pragma once

#include <boost/json.hpp>
#include <functional>
#include <memory>
#include <string>

#include "base/event_loop.h"
#include "base/unique_fd.h"
#include "tenants/child_watch.h"
#include "tenants/config.h"
#include "tenants/core_protocol.h"

namespace bailey::tenants {

class DoctorJob {
 public:
  using Done = std::function<void(ApiResult<boost::json::array> checks)>;
  // `done` is called once, from the loop; it may destroy the job.
  static Result<std::unique_ptr<DoctorJob>> Start(EventLoop& loop, const Paths& paths, Done done);
  ~DoctorJob();
  DoctorJob(const DoctorJob&) = delete;
  DoctorJob& operator=(const DoctorJob&) = delete;

 private:
  DoctorJob(EventLoop& loop, UniqueFd output, Done done)
      : loop_(loop), output_(std::move(output)), done_(std::move(done)) {}
  void OnOutput();
  void FinishWhenOver();

  EventLoop& loop_;
  UniqueFd output_;
  Done done_;
  std::string text_;
  bool at_end_ = false, ended_ = false;  // of its output; the process
  std::unique_ptr<ChildWatch> child_;
};

}  // namespace bailey::tenants

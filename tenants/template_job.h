// TemplateJob: a running template builder whose lines go to a client. Relays rather than hands the
// pipe over, so that a client that goes away is seen (the builder is cancelled) and a builder that
// dies without a last line still gets one.
#pragma once

#include <functional>
#include <memory>
#include <string>

#include "base/event_loop.h"
#include "base/unique_fd.h"
#include "tenants/templates/template_builder.h"

namespace bailey::tenants {

class TemplateJob {
 public:
  // `ended` is called once, from the loop, when the builder is gone; it may destroy the job.
  // `client` gets the read end of what the client is to be sent.
  static Result<std::unique_ptr<TemplateJob>> Start(EventLoop& loop, TemplateBuild build,
                                                    UniqueFd* client, std::function<void()> ended);
  ~TemplateJob();
  TemplateJob(const TemplateJob&) = delete;
  TemplateJob& operator=(const TemplateJob&) = delete;

 private:
  TemplateJob(EventLoop& loop, TemplateBuild build, UniqueFd out, std::function<void()> ended)
      : loop_(loop), build_(std::move(build)), out_(std::move(out)), ended_(std::move(ended)) {}
  void OnOutput();
  void OnClient(uint32_t events);
  void Send();
  void DropClient();
  void Finish();

  EventLoop& loop_;
  TemplateBuild build_;
  UniqueFd out_;  // our end towards the client; empty once it has gone
  std::string unsent_;
  bool reading_ = true;  // the builder's pipe is watched
  bool at_end_ = false;  // it has ended
  std::function<void()> ended_;
};

}  // namespace bailey::tenants

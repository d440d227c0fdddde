// bailey-template-builder --state DIR --request-fd N: see template_builder.h. Lines go to stdout,
// messages to stderr. Started by baileyd; of no use to people.
#include <unistd.h>

#include <charconv>
#include <cstring>
#include <string>

#include "base/files.h"
#include "base/log.h"
#include "tenants/templates/build_process.h"

namespace {

const char* ArgumentAfter(int argc, char** argv, const char* name) {
  for (int i = 1; i + 1 < argc; ++i)
    if (std::strcmp(argv[i], name) == 0) return argv[i + 1];
  return nullptr;
}

int Run(int argc, char** argv) {
  const char* state = ArgumentAfter(argc, argv, "--state");
  const char* request_fd = ArgumentAfter(argc, argv, "--request-fd");
  int fd = -1;
  if (state != nullptr && request_fd != nullptr)
    std::from_chars(request_fd, request_fd + std::strlen(request_fd), fd);
  if (fd < 0) {
    bailey::LogError("usage: bailey-template-builder --state DIR --request-fd N");
    return 2;
  }
  auto body = bailey::ReadAll(fd);
  if (!body) {
    bailey::LogError(body.error().Message());
    return 2;
  }
  auto request = bailey::tenants::TemplateRequest::FromJson(*body);
  if (!request) {
    bailey::LogError(request.error().Message());
    return 2;
  }
  ::close(fd);
  return bailey::tenants::RunTemplateBuild(state, *request, STDOUT_FILENO);
}

}  // namespace

int main(int argc, char** argv) {
  bailey::SetLogName("template-builder");
  try {
    return Run(argc, argv);
  } catch (const std::exception& failure) {
    bailey::LogError(failure.what());
    return 2;
  }
}

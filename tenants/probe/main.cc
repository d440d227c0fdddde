// bailey-probe --ip IP [--outside-pid N] [--outside-port N] [--outside-abstract NAME] [--allow X]…:
// tries every known way out of a tenant, as its root. Run inside by `bailey verify`; run anywhere
// else, it reports what that place lets through.
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <string>

#include "tenants/probe/report.h"

namespace {

bool ParseOptions(int argc, char** argv, bailey::probe::Options* options) {
  for (int i = 1; i + 1 < argc; i += 2) {
    const std::string flag = argv[i], value = argv[i + 1];
    if (flag == "--ip") {
      options->ip = value;
    } else if (flag == "--outside-pid") {
      options->outside_pid = std::atoi(value.c_str());
    } else if (flag == "--outside-port") {
      options->outside_port = std::atoi(value.c_str());
    } else if (flag == "--outside-abstract") {
      options->outside_abstract = value;
    } else if (flag == "--allow") {
      options->allow_mount = options->allow_mount || value == "mount";
      options->allow_raw_sockets = options->allow_raw_sockets || value == "raw_sockets";
      options->allow_set_hostname = options->allow_set_hostname || value == "set_hostname";
    } else {
      return false;
    }
  }
  return argc % 2 == 1 && !options->ip.empty();
}

}  // namespace

int main(int argc, char** argv) {
  using namespace bailey::probe;
  Options options;
  if (!ParseOptions(argc, argv, &options)) {
    std::fputs("usage: bailey-probe --ip IP [--outside-pid N] [--allow WHAT]…\n", stderr);
    return 2;
  }
  Report report;
  // Descriptors first: later attempts open some.
  LookAtIdentity(report, options);
  TryMounts(report, options);
  TryDevices(report, options);
  TryNamespaces(report, options);
  TryProcesses(report, options);
  TrySockets(report, options);
  TryDestinations(report, options);
  TryNetworkSettings(report, options);
  TryKernel(report, options);
  TryFiles(report, options);
  report.Done();
  return 0;
}

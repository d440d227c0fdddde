#include "fs/options.h"

#include <sys/mount.h>

#include <algorithm>
#include <charconv>
#include <functional>
#include <map>

namespace bailey::fs {

const std::string_view kUsage =
    "Usage: bailey-fs --lower DIR... [--upper DIR [--work DIR]] [--hide PATH]...\n"
    "                 [--readers N] [--foreground] MOUNTPOINT\n"
    "       bailey-fs SOURCE MOUNTPOINT -o lowerdir=A:B[,upperdir=U,workdir=W][,OPTION...]\n"
    "       bailey-fs --counters MOUNTPOINT\n"
    "       bailey-fs --fuse-fd N --lower-fd N... [--upper-fd N --work-fd N] [--ready-fd N]\n"
    "                 [--counters-fd N] [--hide PATH]... [--readers N] [--confine]\n"
    "                 [--machine-fd N --machine-start NANOSECONDS --machine-source NAME=N...]\n"
    "Serves directories as one: the first lower on top of the others, the upper above all of\n"
    "them and the only one written to. Without an upper the root is read-only.\n"
    "mount -t fuse.bailey-fs takes the second form; --counters prints what such a root counts.\n";

namespace {

Result<unsigned> ParseNumber(const std::string& option, const std::string& text) {
  unsigned number = 0;
  const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), number);
  if (error != std::errc() || end != text.data() + text.size() || number > 1'000'000)
    return Invalid(option + ": not a number: " + text);
  return number;
}

struct MountFlag {
  std::string_view name;
  unsigned long flag;
};
constexpr MountFlag kMountFlags[] = {
    {"ro", MS_RDONLY},
    {"nosuid", MS_NOSUID},
    {"nodev", MS_NODEV},
    {"noexec", MS_NOEXEC},
    {"noatime", MS_NOATIME},
    {"relatime", MS_RELATIME},
    {"strictatime", MS_STRICTATIME},
    {"nodiratime", MS_NODIRATIME},
    {"lazytime", MS_LAZYTIME},
    {"sync", MS_SYNCHRONOUS},
    {"dirsync", MS_DIRSYNC},
};
// What goes without saying, what only mount(8) and systemd read, and what we always do.
constexpr std::string_view kNoFlags[] = {
    "rw",       "suid",       "dev",           "exec",   "atime",       "norelatime",
    "diratime", "nolazytime", "nostrictatime", "async",  "silent",      "loud",
    "defaults", "auto",       "noauto",        "nofail", "_netdev",     "user",
    "nouser",   "users",      "owner",         "group",  "allow_other", "default_permissions",
};

// With values of no meaning here; the last two a remount finds in the table of mounts.
constexpr std::string_view kIgnoredKeys[] = {"comment", "subtype", "user", "user_id", "group_id"};

// Splits at `separator`, which a backslash takes its meaning.
std::vector<std::string> Split(std::string_view text, char separator) {
  std::vector<std::string> parts(1);
  for (size_t i = 0; i < text.size(); ++i) {
    if (text[i] == '\\' && i + 1 < text.size() && (text[i + 1] == separator || text[i + 1] == '\\'))
      parts.back() += text[++i];
    else if (text[i] == separator)
      parts.emplace_back();
    else
      parts.back() += text[i];
  }
  return parts;
}

Status TakeMountFlag(const std::string& text, Options* options) {
  if (std::ranges::find(kNoFlags, text) != std::end(kNoFlags)) return {};
  const auto* const known = std::ranges::find(kMountFlags, text, &MountFlag::name);
  if (known == std::end(kMountFlags)) return Invalid("-o " + text + ": unknown option");
  options->mount_flags |= known->flag;
  return {};
}

Status TakeMountOption(const std::string& text, Options* options) {
  const size_t equals = text.find('=');
  const std::string key = text.substr(0, equals);
  const std::string value = equals == std::string::npos ? "" : text.substr(equals + 1);
  if (text.empty() || key.starts_with("x-") || key.starts_with("X-")) return {};
  if (key == "lowerdir") {
    for (std::string& lower : Split(value, ':')) options->lowers.push_back(std::move(lower));
  } else if (key == "upperdir") {
    options->upper = value;
  } else if (key == "workdir") {
    options->work = value;
  } else if (key == "hide") {
    options->hidden.push_back(value);
  } else if (key == "fsname") {
    options->source = value;
  } else if (key == "remount") {
    options->remount = true;
  } else if (std::ranges::find(kIgnoredKeys, key) == std::end(kIgnoredKeys) || value.empty()) {
    return TakeMountFlag(text, options);
  }
  return {};
}

Status TakeMountOptions(const std::string& list, Options* options) {
  for (const std::string& option : Split(list, ',')) BAILEY_TRY(TakeMountOption(option, options));
  return {};
}

// NAME=N: a file of the host and its descriptor.
Status TakeMachineSource(const std::string& text, Options* options) {
  const size_t equals = std::min(text.find('='), text.size());
  const auto source = MachineSourceOf(text.substr(0, equals));
  if (!source) return Invalid("--machine-source " + text + ": unknown name");
  const auto fd = ParseNumber("--machine-source", text.substr(std::min(equals + 1, text.size())));
  if (!fd) return fd.error();
  options->machine_sources.emplace_back(*source, static_cast<int>(*fd));
  return {};
}

Status TakeMachineStart(const std::string& text, Options* options) {
  int64_t nanoseconds = 0;
  const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), nanoseconds);
  if (error != std::errc() || end != text.data() + text.size() || nanoseconds < 0)
    return Invalid("--machine-start: not a time: " + text);
  options->machine_start = std::chrono::nanoseconds(nanoseconds);
  return {};
}

using Setter = std::function<Status(const std::string& value)>;

// Options with a value, by name.
std::map<std::string, Setter, std::less<>> Setters(Options* options) {
  std::map<std::string, Setter, std::less<>> setters;
  const auto number = [&](const std::string& name, const std::function<void(unsigned)>& set) {
    setters[name] = [name, set](const std::string& text) -> Status {
      const auto parsed = ParseNumber(name, text);
      if (!parsed) return parsed.error();
      set(*parsed);
      return {};
    };
  };
  const auto descriptor = [&](const std::string& name, int* target) {
    number(name, [target](unsigned value) { *target = static_cast<int>(value); });
  };
  const auto text = [&](const std::string& name, const std::function<void(std::string)>& set) {
    setters[name] = [set](const std::string& value) -> Status {
      set(value);
      return {};
    };
  };
  descriptor("--fuse-fd", &options->fuse_fd);
  descriptor("--upper-fd", &options->upper_fd);
  descriptor("--work-fd", &options->work_fd);
  descriptor("--counters-fd", &options->counters_fd);
  descriptor("--ready-fd", &options->ready_fd);
  descriptor("--machine-fd", &options->machine_fd);
  number("--lower-fd",
         [options](unsigned value) { options->lower_fds.push_back(static_cast<int>(value)); });
  number("--readers", [options](unsigned value) { options->readers = value; });
  text("--lower", [options](std::string value) { options->lowers.push_back(std::move(value)); });
  text("--upper", [options](std::string value) { options->upper = std::move(value); });
  text("--work", [options](std::string value) { options->work = std::move(value); });
  text("--hide", [options](std::string value) { options->hidden.push_back(std::move(value)); });
  text("-t", [](const std::string&) {});  // mount(8) tells its helpers the type
  setters["--machine-source"] = [options](const std::string& value) {
    return TakeMachineSource(value, options);
  };
  setters["--machine-start"] = [options](const std::string& value) {
    return TakeMachineStart(value, options);
  };
  setters["-o"] = [options](const std::string& list) { return TakeMountOptions(list, options); };
  return setters;
}

Status Check(const Options& options, size_t positionals) {
  if (options.readers < 1 || options.readers > 64)
    return Invalid("--readers: between 1 and 64 threads");
  if (options.is_tenants()) {
    if (options.lower_fds.empty()) return Invalid("--lower-fd: at least one is needed");
    if ((options.upper_fd < 0) != (options.work_fd < 0))
      return Invalid("--upper-fd and --work-fd go together");
    if (positionals != 0 || !options.lowers.empty())
      return Invalid("--fuse-fd takes its layers by --lower-fd and --upper-fd");
    return {};
  }
  if (options.counters || options.remount)
    return positionals != 0 ? Status() : Invalid("the mount point is missing");
  if (options.machine_fd >= 0 || !options.machine_sources.empty())
    return Invalid("--machine-fd and --machine-source go with --fuse-fd");
  if (options.lowers.empty()) return Invalid("--lower: at least one is needed");
  if (options.confine) return Invalid("--confine goes with --fuse-fd");
  if (options.mount_point.empty()) return Invalid("the mount point is missing");
  if (!options.work.empty() && options.upper.empty()) return Invalid("--work goes with --upper");
  return {};
}

}  // namespace

Result<Options> ParseOptions(const std::vector<std::string>& arguments) {
  Options options;
  const auto setters = Setters(&options);
  std::vector<std::string> positionals;
  for (size_t i = 0; i < arguments.size(); ++i) {
    const std::string& argument = arguments[i];
    if (argument == "--help" || argument == "-h") {
      options.help = true;
      return options;
    }
    if (argument == "--foreground" || argument == "-f") {
      options.foreground = true;
    } else if (argument == "--confine") {
      options.confine = true;
    } else if (argument == "--counters") {
      options.counters = true;
    } else if (argument == "-n" || argument == "-s" || argument == "-v") {
      // mount(8) tells its helpers: no mtab, sloppy, verbose
    } else if (const auto setter = setters.find(argument); setter != setters.end()) {
      if (++i == arguments.size()) return Invalid(argument + ": its value is missing");
      BAILEY_TRY(setter->second(arguments[i]));
    } else if (argument.starts_with("-")) {
      return Invalid(argument + ": unknown option");
    } else {
      positionals.push_back(argument);
    }
  }
  if (positionals.size() > 2) return Invalid(positionals[2] + ": one argument too many");
  if (!positionals.empty()) options.mount_point = positionals.back();
  options.has_source = positionals.size() == 2;
  if (options.has_source && options.source == Options().source)
    options.source = positionals.front();
  BAILEY_TRY(Check(options, positionals.size()));
  return options;
}

}  // namespace bailey::fs

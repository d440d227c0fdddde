// SetgidCapability: CAP_FSETID for the time of one chmod. Without it the kernel takes setgid away
// from files of groups that the server is not in; with it all the time, a stranger's write (also
// one by passthrough, done with our credentials) would leave setuid on a file that it changed.
#pragma once

namespace bailey::fs {

class [[nodiscard]] SetgidCapability {
 public:
  SetgidCapability();
  ~SetgidCapability();
  SetgidCapability(const SetgidCapability&) = delete;
  SetgidCapability& operator=(const SetgidCapability&) = delete;
};

// At start, before any thread: takes out of the effective set what must not be in it while serving
// (FSETID, and SYS_RESOURCE, with which writes would use blocks reserved for root). FSETID stays
// permitted. False and errno.
bool LowerWriteCapabilities();

}  // namespace bailey::fs

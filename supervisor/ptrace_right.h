// CAP_SYS_PTRACE, which entering a tenant and reading a caller's memory ask for, and which the
// supervisor must not have in effect at any other time: a program that was entered is its child,
// and could make it its tracer (PTRACE_TRACEME asks what the parent may). A traced thread that
// nobody waits for would keep the tenant's init from ending. Async-signal-safe; per thread.
#pragma once

namespace bailey::supervisor {

// Takes it out of, or back into, the effective set; it stays permitted. 0, or -1 and errno.
int LowerPtraceRight();
int RaisePtraceRight();

class [[nodiscard]] PtraceRightScope {
 public:
  PtraceRightScope() : raised_(RaisePtraceRight() == 0) {}
  PtraceRightScope(const PtraceRightScope&) = delete;
  PtraceRightScope& operator=(const PtraceRightScope&) = delete;
  ~PtraceRightScope();
  bool raised() const { return raised_; }

 private:
  const bool raised_;
};

}  // namespace bailey::supervisor

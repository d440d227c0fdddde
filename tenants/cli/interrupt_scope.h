// Ctrl-C as an event instead of an end, where a verb has something to undo.
#pragma once

#include <csignal>

namespace bailey::tenants {

// SIGINT and SIGTERM wait until Open(); from then on until destruction they break off a blocking
// call (EINTR) instead of ending the process. One at a time, in the main thread.
class InterruptScope {
 public:
  InterruptScope() {
    caught_ = 0;
    struct sigaction action {};
    action.sa_handler = [](int signal) { caught_ = signal; };
    ::sigaction(SIGINT, &action, &int_before_);
    ::sigaction(SIGTERM, &action, &term_before_);
    sigset_t both;
    ::sigemptyset(&both);
    ::sigaddset(&both, SIGINT);
    ::sigaddset(&both, SIGTERM);
    ::sigprocmask(SIG_BLOCK, &both, &mask_before_);
  }
  InterruptScope(const InterruptScope&) = delete;
  InterruptScope& operator=(const InterruptScope&) = delete;
  ~InterruptScope() {
    ::sigaction(SIGINT, &int_before_, nullptr);
    ::sigaction(SIGTERM, &term_before_, nullptr);
    Open();
  }

  void Open() const { ::sigprocmask(SIG_SETMASK, &mask_before_, nullptr); }
  // The signal, or 0.
  static int Caught() { return caught_; }

 private:
  static inline volatile std::sig_atomic_t caught_ = 0;
  struct sigaction int_before_ {
  }, term_before_{};
  sigset_t mask_before_{};
};

}  // namespace bailey::tenants

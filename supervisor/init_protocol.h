// What the supervisor and bailey-init say to each other over LaunchedTenant::control, a SEQPACKET
// socket. Each message is an InitMessage, followed by NUL-terminated strings in kStart alone. init
// runs inside the tenant, so that the supervisor takes nothing from it but these numbers.
//
//   supervisor                          bailey-init
//   kOpenGate                    →      raises its walls
//                                ←      kWalls + the seccomp listener, or kFailed
//                                ←      kReady, once it executes
//   kStart argv env              →
//                                ←      kStarted, or kStartFailed{errno}
//                                ←      kExited{wait status}; then kStart again, or kStop
//                                ←      kShutdown{Shutdown}: asked for inside, as init is asked
//                                ←      kIdle, each time init's last child has ended
//   kStop{signal}                →      signal to all; ends when all are gone
// When the supervisor's end closes, init stops the tenant with SIGTERM, then by ending.
#pragma once

#include <cstdint>

namespace bailey::supervisor {

enum class InitMessageType : uint32_t {
  kOpenGate,
  kStart,
  kStop,
  kWalls,
  kFailed,
  kReady,
  kStarted,
  kStartFailed,
  kExited,
  kIdle,
  kShutdown,
};

enum class Shutdown : int32_t { kPowerOff, kReboot };

struct InitMessage {
  InitMessageType type;
  int32_t value = 0;     // kStop: signal; kStarted: pid inside; kExited: status; kFailed: WallStep;
                         // kShutdown: Shutdown
  int32_t error = 0;     // kFailed, kStartFailed: errno
  uint32_t argc = 0;     // kStart: strings that are argv; the rest is the environment
  uint32_t strings = 0;  // kStart: all strings
};

}  // namespace bailey::supervisor

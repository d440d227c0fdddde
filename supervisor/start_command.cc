#include "supervisor/start_command.h"

#include <fcntl.h>

#include "base/log.h"
#include "supervisor/tenant_launch.h"

namespace bailey::supervisor {

StartCommand::StartCommand(EventLoop& loop, const ProcessSpec& spec, int control,
                           OomKills oom_kills, Events events)
    : loop_(loop),
      spec_(spec),
      control_(control),
      oom_kills_(std::move(oom_kills)),
      events_(std::move(events)) {}

StartCommand::~StartCommand() {
  loop_.Cancel(restart_);
  Unwatch();
}

Status StartCommand::Run() {
  if (::fcntl(control_, F_SETFL, O_NONBLOCK) != 0) return Errno("fcntl O_NONBLOCK");
  BAILEY_TRY(loop_.Watch(control_, EPOLLIN, [this](uint32_t) { OnMessage(); }));
  watching_ = true;
  return SendStart(control_, spec_.start, spec_.env);
}

Status StartCommand::Stop(int signal) {
  stopping_ = true;
  loop_.Cancel(restart_);
  return SendStop(control_, signal);
}

void StartCommand::Unwatch() {
  if (watching_) loop_.Unwatch(control_);
  watching_ = false;
}

void StartCommand::OnMessage() {
  const auto message = ReceiveInitMessage(control_);
  if (message) return Handle(*message);
  if (message.error().Errno() == EAGAIN) return;
  Unwatch();
  // Init's end is told by its pidfd, with the reason.
  if (message.error().Errno() != EPIPE) events_.broken(message.error());
}

void StartCommand::Handle(const InitMessage& message) {
  switch (message.type) {
    case InitMessageType::kStarted:
      return OnStarted();
    case InitMessageType::kStartFailed: {
      if (!ran_before_)
        return events_.start_failed(Errno("execute " + spec_.start.front(), message.error));
      ExitReport exit;
      exit.code = message.error == ENOENT ? 127 : 126;
      return OnEnded(exit);
    }
    case InitMessageType::kExited:
      return OnEnded(ExplainExit(message.value, oom_kills_()));
    case InitMessageType::kShutdown:
      return events_.shutdown(message.value == static_cast<int32_t>(Shutdown::kReboot)
                                  ? Shutdown::kReboot
                                  : Shutdown::kPowerOff);
    case InitMessageType::kIdle:
      return events_.idle();
    default:
      return events_.broken(Errno("message of bailey-init", EPROTO));
  }
}

void StartCommand::OnStarted() {
  started_at_ = EventLoop::Clock::now();
  if (ran_before_) return events_.restarted();
  ran_before_ = true;
  events_.started();
}

void StartCommand::OnEnded(const ExitReport& exit) {
  events_.exited(exit);
  if (stopping_) return;
  if (!ShouldRestart(spec_.restart, exit)) {
    idle_ = true;  // kIdle follows, now or when what it left behind has ended
    return;
  }
  const auto pause = backoff_.Next(EventLoop::Clock::now() - started_at_);
  LogInfo("the start command " + exit.ToString() + "; it runs again in " +
          std::to_string(pause.count()) + " ms");
  restart_ = loop_.After(pause, [this] {
    if (const Status sent = SendStart(control_, spec_.start, spec_.env); !sent)
      LogWarning("start command: " + sent.error().Message());
  });
}

}  // namespace bailey::supervisor

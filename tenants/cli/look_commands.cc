// ls, show, logs, events.
#include <poll.h>

#include <boost/json.hpp>
#include <string>

#include "tenants/cli/commands.h"
#include "tenants/cli/console.h"
#include "tenants/cli/views.h"

namespace bailey::tenants {
namespace {

namespace json = boost::json;

constexpr int kFollowPauseMs = 250;
// The end of a log that --lines looks at.
constexpr int64_t kTailBytes = 1 << 20;

std::string LogTarget(const std::string& name, int64_t offset) {
  return "/v1/tenants/" + name + "/logs?offset=" + std::to_string(offset);
}

// The last `lines` lines of `text`.
std::string_view LastLines(std::string_view text, int lines) {
  if (lines == 0) return {};
  size_t start = text.size();
  if (start > 0 && text[start - 1] == '\n') --start;
  for (; start > 0; --start)
    if (text[start - 1] == '\n' && --lines == 0) break;
  return text.substr(start);
}

}  // namespace

int Run(const Context& context, const ListCommand&) {
  auto items = context.api.Items({"GET", "/v1/tenants", {}, {}});
  if (!items) return PrintFailure(items.error(), context.format);
  PrintData(Render(context.format, TenantView(), *items));
  if (items->empty() && context.format == OutputFormat::kTable)
    PrintMessage("No tenants yet. Try: bailey launch web --ip 127.77.0.2");
  return 0;
}

int Run(const Context& context, const ShowCommand& command) {
  json::array all;
  for (const std::string& name : command.names) {
    const std::string target = "/v1/tenants/" + name + (command.fs ? "/fs" : "");
    auto items = context.api.Items({"GET", target, {}, {}});
    if (!items) return PrintFailure(items.error(), context.format);
    all.insert(all.end(), items->begin(), items->end());
  }
  if (context.format != OutputFormat::kTable) {
    PrintData(Render(context.format, command.fs ? FileSystemView() : TenantView(), all));
    return 0;
  }
  for (size_t i = 0; i < all.size(); ++i) {
    const json::object& item = all[i].as_object();
    PrintData((i > 0 ? "\n" : "") + (command.fs ? FileSystemText(item) : RenderDetail(item)));
  }
  return 0;
}

int Run(const Context& context, const LogsCommand& command) {
  int64_t offset = command.lines < 0 ? 0 : -kTailBytes;
  bool first = command.lines >= 0;
  for (;;) {
    auto piece = context.api.Bytes(LogTarget(command.name, offset));
    if (!piece) return PrintFailure(piece.error(), context.format);
    PrintData(first ? LastLines(piece->bytes, command.lines) : std::string_view(piece->bytes));
    first = false;
    offset = piece->next_offset;
    if (!piece->bytes.empty()) continue;
    if (!command.follow) return 0;
    ::poll(nullptr, 0, kFollowPauseMs);
  }
}

int Run(const Context& context, const EventsCommand& command) {
  std::string target = "/v1/events";
  if (!command.name.empty()) target += "?tenant=" + command.name;
  if (command.lines > 0)
    target += (command.name.empty() ? "?limit=" : "&limit=") + std::to_string(command.lines);
  auto items = context.api.Items({"GET", target, {}, {}});
  if (!items) return PrintFailure(items.error(), context.format);
  PrintData(Render(context.format, EventView(), *items));
  return 0;
}

}  // namespace bailey::tenants

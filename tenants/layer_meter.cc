#include "tenants/layer_meter.h"

#include <fcntl.h>

#include "base/files.h"
#include "tenants/store.h"

namespace bailey::tenants {
namespace {

constexpr size_t kMostLayers = 4096;

}  // namespace

void LayerMeter::Measure(const std::string& path, double max_age, Handler handler) {
  ForgetOld();
  Layer& layer = layers_[path];
  if (layer.last.at > 0 && UnixNow() - layer.last.at <= max_age) return handler(layer.last);
  layer.waiting.push_back(std::move(handler));
  if (layer.waiting.size() == 1) Begin(path);
}

void LayerMeter::Begin(const std::string& path) {
  const auto measured = std::make_shared<MeasuredUse>();
  background_.Run(
      [path, measured]() -> Status {
        const auto directory = OpenPath(path, O_RDONLY | O_DIRECTORY | O_NOFOLLOW);
        if (!directory) return directory.error();
        const auto use = MeasureTree(directory->get(), kShortWalk);
        if (!use) return use.error();
        *measured = {*use, UnixNow()};
        return {};
      },
      [this, path, measured](const Status&) { Finish(path, *measured); });
}

void LayerMeter::Finish(const std::string& path, const MeasuredUse& measured) {
  Layer& layer = layers_[path];
  layer.last = measured;
  for (const Handler& handler : std::exchange(layer.waiting, {})) handler(measured);
}

// What was removed long ago must not stay for ever.
void LayerMeter::ForgetOld() {
  if (layers_.size() < kMostLayers) return;
  std::erase_if(layers_, [](const auto& layer) { return layer.second.waiting.empty(); });
}

}  // namespace bailey::tenants

// LayerMeter: how much the layers of roots take, measured on a thread of its own and remembered for
// a while: baileyd's loop never walks a tree. Runs on that loop.
#pragma once

#include <functional>
#include <map>
#include <memory>
#include <string>
#include <vector>

#include "tenants/background.h"
#include "tenants/templates/disk_use.h"

namespace bailey::tenants {

struct MeasuredUse {
  DiskUse use;
  double at = 0;  // Unix time; 0: could not be measured
};

class LayerMeter {
 public:
  using Handler = std::function<void(const MeasuredUse& measured)>;

  explicit LayerMeter(Background& background) : background_(background) {}

  // `handler` is called once: at once when `path` was measured within the last `max_age` seconds,
  // else once that is done, which kShortWalk bounds. Asking twice measures once.
  void Measure(const std::string& path, double max_age, Handler handler);

 private:
  struct Layer {
    MeasuredUse last;
    std::vector<Handler> waiting;
  };
  void Begin(const std::string& path);
  void Finish(const std::string& path, const MeasuredUse& measured);
  void ForgetOld();

  Background& background_;
  std::map<std::string, Layer> layers_;
};

}  // namespace bailey::tenants

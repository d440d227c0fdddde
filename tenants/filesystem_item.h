// A FileSystem as the API shows it (docs/DESIGN.md, "The API"): the layers of a tenant's root, what
// each takes on disk, and what the file server has counted.
#pragma once

#include <boost/json.hpp>
#include <functional>

#include "tenants/layer_meter.h"
#include "tenants/templates/template_store.h"
#include "tenants/tenant.h"

namespace bailey::tenants {

// What is measured for an item, or was before.
struct FileSystemUse {
  MeasuredUse upper, base;
};

// Measures the upper, if that was not done a moment ago, and what the template does not say of
// itself. `done` is called at once or later.
void MeasureFileSystem(LayerMeter& meter, const Host& host, const std::string& tenant,
                       const Template& base, std::function<void(const FileSystemUse& use)> done);

boost::json::object FileSystemItem(const Host& host, const Tenant& tenant, const Template& base,
                                   const FileSystemUse& use);

}  // namespace bailey::tenants

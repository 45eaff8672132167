#pragma once
// A walk over modules and their paths.

#include <torch/torch.h>

#include <string>

namespace quantnoise::quant {

/// visit(path, module) for the module and all below it, in registration order. Own recursion:
/// Module::named_modules() asks for a module that lies in a shared_ptr.
template <typename Visitor>
void visit_modules(torch::nn::Module& module, const std::string& path, const Visitor& visit) {
  visit(path, module);
  for (const auto& child : module.named_children()) {
    visit_modules(*child.value(), path.empty() ? child.key() : path + "." + child.key(), visit);
  }
}

}  // namespace quantnoise::quant

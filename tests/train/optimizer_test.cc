#include "quantnoise/train/optimizer.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "golden_file.h"
#include "quantnoise/base/error.h"

namespace quantnoise::train {
namespace {

using test::read_if;
using testing::HasSubstr;

at::Tensor leaf(const std::vector<float>& values) { return torch::tensor(values).requires_grad_(true); }

void step(Optimizer& optimizer, const std::vector<quant::NamedParameter>& parameters,
          const std::vector<float>& gradient, double lr) {
  for (const auto& [name, tensor] : parameters) tensor.mutable_grad() = torch::tensor(gradient);
  optimizer.set_lr(lr);
  optimizer.step();
}

OptimizerOptions read_options(const nlohmann::json& object) {
  OptimizerOptions options;
  read_if(object, "beta1", options.beta1);
  read_if(object, "beta2", options.beta2);
  read_if(object, "eps", options.eps);
  read_if(object, "momentum", options.momentum);
  read_if(object, "weight_decay", options.weight_decay);
  return options;
}

TEST(Optimizer, MakesTheGoldenUpdates) {
  const nlohmann::json golden = test::golden_file("optimizers.json");
  const std::vector<std::vector<float>> gradients = golden.at("gradients");
  const std::vector<double> rates = golden.at("lr");
  for (const auto& item : golden.at("cases")) {
    SCOPED_TRACE(item.at("name").get<std::string>() + " " + item.at("options").dump());
    OptimizerOptions options = read_options(item.at("options"));
    options.initial_lr = rates.front();
    const auto optimizer = make_optimizer(item.at("name"), options);
    EXPECT_EQ(optimizer->name(), item.at("name"));
    const std::vector<quant::NamedParameter> parameters = {{"w", leaf(golden.at("start"))}};
    optimizer->bind(parameters);
    for (size_t i = 0; i < gradients.size(); ++i) {
      step(*optimizer, parameters, gradients[i], rates[i]);
      const std::vector<double> expected = item.at("values").at(i);
      const at::Tensor difference =
          (parameters[0].tensor.detach().to(at::kDouble) - torch::tensor(expected, at::kDouble)).abs();
      EXPECT_LT(difference.max().item<double>(), 2e-6) << "step " << i;
    }
  }
}

const std::vector<float> kGradient = {0.5F, -1, 2};

class EachOptimizer : public testing::TestWithParam<std::string> {
 protected:
  std::unique_ptr<Optimizer> make() const {
    OptimizerOptions options;
    options.momentum = 0.9;
    return make_optimizer(GetParam(), options);
  }
};

TEST_P(EachOptimizer, GoesOnBitForBitFromItsState) {
  const std::vector<quant::NamedParameter> a = {{"x", leaf({1, 2, 3})}, {"y", leaf({4, 5, 6})}};
  const auto first = make();
  first->bind(a);
  for (int i = 0; i < 3; ++i) step(*first, a, kGradient, 0.1 + 0.01 * i);
  std::vector<quant::NamedParameter> b;
  for (const auto& [name, tensor] : a) b.push_back({name, tensor.detach().clone().requires_grad_(true)});
  const auto second = make();
  second->bind(b);
  second->load_state(first->state());
  for (int i = 0; i < 3; ++i) {
    step(*first, a, kGradient, 0.1);
    step(*second, b, kGradient, 0.1);
  }
  for (size_t i = 0; i < a.size(); ++i) EXPECT_TRUE(at::equal(a[i].tensor, b[i].tensor)) << a[i].name;
}

TEST_P(EachOptimizer, AnExchangeDropsTheStateOfThatTensorAlone) {
  const at::Tensor kept = leaf({1, 2, 3});
  const std::vector<quant::NamedParameter> before = {{"a.weight", kept}, {"b.weight", leaf({4, 5, 6})}};
  const auto optimizer = make();
  optimizer->bind(before);
  for (int i = 0; i < 4; ++i) step(*optimizer, before, kGradient, 0.1);
  const auto state_before = optimizer->state();

  const std::vector<quant::NamedParameter> after = {{"a.weight", kept}, {"b.weight", leaf({7, 8, 9})}};
  optimizer->bind(after);
  for (const auto& [path, tensor] : optimizer->state()) {
    EXPECT_TRUE(path.starts_with("a.weight/")) << path;
    EXPECT_TRUE(at::equal(tensor, state_before.at(path)));
  }
  // The new tensor takes its first step as in a new run; the old one its fifth.
  step(*optimizer, after, kGradient, 0.1);
  const std::vector<quant::NamedParameter> fresh = {{"b.weight", leaf({7, 8, 9})}};
  const auto other = make();
  other->bind(fresh);
  step(*other, fresh, kGradient, 0.1);
  EXPECT_TRUE(at::allclose(after[1].tensor, fresh[0].tensor, 1e-6, 1e-7));
}

TEST_P(EachOptimizer, ScalesTheGradientsOnTheWay) {
  std::vector<float> values(37);
  for (size_t i = 0; i < values.size(); ++i) values[i] = 0.3f * static_cast<float>(i % 11) + 1;
  const std::vector<quant::NamedParameter> before = {{"x", leaf(values)}}, scaled = {{"x", leaf(values)}};
  const auto optimizer = make(), other = make();
  optimizer->bind(before);
  other->bind(scaled);
  const at::Tensor gradient = torch::linspace(-2, 3, 37);
  for (const double scale : {0.25, 0.1}) {
    before[0].tensor.mutable_grad() = gradient * scale;
    scaled[0].tensor.mutable_grad() = gradient.clone();
    optimizer->step();
    other->step(scale);
    EXPECT_TRUE(at::allclose(before[0].tensor, scaled[0].tensor, 1e-6, 0));
    EXPECT_TRUE(at::allclose(scaled[0].tensor.grad(), gradient * scale, 1e-6, 0));
  }
}

TEST_P(EachOptimizer, LeavesTensorsWithoutGradientAlone) {
  const std::vector<quant::NamedParameter> parameters = {{"x", leaf({1, 2, 3})}};
  const auto optimizer = make();
  optimizer->bind(parameters);
  optimizer->set_lr(1);
  optimizer->step();
  EXPECT_TRUE(at::equal(parameters[0].tensor, torch::tensor({1.F, 2.F, 3.F})));
}

INSTANTIATE_TEST_SUITE_P(All, EachOptimizer, testing::ValuesIn(optimizer_names()));

TEST(Optimizer, RefusesStateThatDoesNotFit) {
  const auto optimizer = make_optimizer("adamw", {});
  optimizer->bind({{"x", leaf({1, 2, 3})}});
  EXPECT_THROW(optimizer->load_state({{"y/exp_avg", torch::zeros(3)}}), Error);
  EXPECT_THROW(optimizer->load_state({{"x/exp_avg", torch::zeros(4)}}), Error);
}

TEST(Optimizer, UnknownNameListsThoseThereAre) {
  try {
    make_optimizer("adan", {});
    FAIL();
  } catch (const Error& error) {
    EXPECT_EQ(error.kind(), ErrorKind::kConfig);
    EXPECT_THAT(error.hint(), HasSubstr("adam, adamw, nag, sgd"));
  }
}

}  // namespace
}  // namespace quantnoise::train

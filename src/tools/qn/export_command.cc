// qn export: a model file in another form.

#include "quantnoise/base/error.h"
#include "quantnoise/pack/model_file.h"
#include "quantnoise/train/option_group.h"
#include "quantnoise/train/prune.h"
#include "tools/common/terminal.h"
#include "tools/qn/commands.h"

namespace quantnoise::tool {

namespace {

void declare(config::OptionTable& table) {
  train::OptionGroup group(table, "");
  group.text("model", "", "model file or checkpoint (positional)");
  group.text("output", "", "file to write").alias("o");
  group.integers(train::kLayersToKeep, "", "only these decoder layers, counted from 0: a smaller model")
      .min(0);
  group.flag("dequantize", "plain fp32 safetensors that any reader opens, ties written out under every name");
}

/// The model of a checkpoint, without what only training needs.
pack::ModelFile without_training(pack::ModelFile file) {
  file.kind = "model";
  file.training_json = "{}";
  std::erase_if(file.tensors,
                [](const auto& tensor) { return tensor.first.starts_with(pack::kTrainingPrefix); });
  return file;
}

int run(const Invocation& invocation) {
  const config::OptionValues& values = invocation.values;
  const std::string& output = values.get_string("output");
  QN_REQUIRE(!output.empty(), ErrorKind::kUsage, "qn export needs --output FILE");
  const std::string& path = values.get_string("model");
  pack::ModelFile file = pack::read_model_file(path);
  try {
    if (values.has_value(train::kLayersToKeep)) {
      train::keep_decoder_layers(file, values.get_int_list(train::kLayersToKeep));
    }
    if (values.get_bool("dequantize")) {
      pack::write_plain_safetensors(output, file);
    } else {
      pack::write_model_file(output, without_training(std::move(file)));
    }
  } catch (Error& error) {
    // Of what the file says, not of what was asked for or of the file written.
    if (error.kind() != ErrorKind::kFormat) throw;
    throw error.in(path);
  }
  print_message(str_cat("wrote ", output));
  return 0;
}

}  // namespace

Command export_command() {
  Command command;
  command.name = "export";
  command.summary =
      "Writes a model as plain safetensors, a checkpoint as a model file without training state, or a "
      "smaller model.";
  command.examples = {"qn export compressed.qn --dequantize -o plain.safetensors",
                      "qn export checkpoints/checkpoint_best.qn -o model.qn",
                      "qn export model.qn --decoder-layers-to-keep 0,2,4 -o smaller.qn"};
  command.positional = {"model"};
  command.takes_recipe = false;
  command.declare = declare;
  command.run = run;
  return command;
}

}  // namespace quantnoise::tool

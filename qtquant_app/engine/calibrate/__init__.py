"""Methods that look at samples: block by block, what the model's layers are given decides how their weights are quantized."""

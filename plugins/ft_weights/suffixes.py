"""What weight files are usually called, where a name has to tell them from other files or from folders."""

SUFFIXES = (".pth", ".pt", ".safetensors", ".ckpt", ".bin", ".pth.tar")

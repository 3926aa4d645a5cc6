"""The place of readers for model files and traces (ONNX, PyTorch, Chakra), one file each."""

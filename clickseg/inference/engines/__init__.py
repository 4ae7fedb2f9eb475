"""Inference runtimes with a common interface: OpenVINO, torch and TensorRT."""

"""One run from folder to folder: plan, load, preprocess, infer, postprocess, write."""

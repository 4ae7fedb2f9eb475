"""A batch run, from an input folder to an output folder: plan, load, preprocess, infer, postprocess, write."""

"""What models are worth: simulated clicks through the inference that users get, by the protocols of others."""

"""What every layer may use: files, errors, arrays, text."""

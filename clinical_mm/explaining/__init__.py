"""Why the model said it, one file an explainer."""

"""The browser demo: the only place that knows Gradio."""

"""Networks that only training and evaluation need."""

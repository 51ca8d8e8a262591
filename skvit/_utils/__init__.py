"""Small shared pieces that know nothing of images or networks."""

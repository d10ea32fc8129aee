"""Which kernel computes attention: measured once on the device with real shapes, then kept."""

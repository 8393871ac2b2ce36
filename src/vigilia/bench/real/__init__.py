"""The memory benchmark on real pixels: joined recordings, and three continuous ones."""

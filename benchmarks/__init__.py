"""What farm can do, measured: nothing here is part of what is installed."""

"""What people write: batch files, parameter spaces, calls. Pure: no I/O, no threads, no clock."""

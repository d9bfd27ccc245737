"""What people would use in place of this project, each as small as it can honestly be; `benchmarks.programs` starts them."""

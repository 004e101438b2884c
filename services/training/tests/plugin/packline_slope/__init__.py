"""A task for the tests of training: learns y = a·x + b by gradient descent, for real, in a moment."""

"""What a Pack predicted, what users corrected, and how its versions compare."""

"""The demo: a Pack serves, is corrected, learns, is rolled out under traffic, and resists two bad versions."""

"""The way out: fetching addresses that callers name, safely."""

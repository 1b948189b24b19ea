"""The service seen from outside: what is measured at a scrape, whether it is able to work, and what is wrong."""

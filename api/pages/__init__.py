"""The review pages: sign in, cases, one case on one screen, training, models. They call the services that the API calls."""

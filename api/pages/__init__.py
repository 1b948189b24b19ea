"""The review pages: sign in, cases, one case on one screen, training, models. They call the API's own services."""

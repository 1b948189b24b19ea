"""How good the answers are: metrics with intervals, calibration, prediction sets."""

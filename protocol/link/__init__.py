"""The carriage between the ends: MQTT in earnest, memory in tests."""

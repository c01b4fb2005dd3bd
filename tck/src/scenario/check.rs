//! Checks a scenario against descriptors, requirements and the model.

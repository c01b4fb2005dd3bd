//! Writes scenarios as YAML.

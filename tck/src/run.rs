//! Runs scenarios side by side.

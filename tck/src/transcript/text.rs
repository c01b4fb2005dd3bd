//! Transcripts as text, for people.

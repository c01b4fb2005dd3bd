//! The file format of transcripts: JSON lines.

//! Charts, transcripts and mismatches drawn as sequence diagrams.

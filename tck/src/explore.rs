//! (3)(7) Generated scenarios and their shrinking.

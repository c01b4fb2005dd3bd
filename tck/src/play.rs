//! (4)(5) Play: what should happen next.

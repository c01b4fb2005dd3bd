//! (3) What the TCK models mean, as pure functions: the oracle; and a user function made of it.
